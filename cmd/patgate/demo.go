package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/cmd/patgate/demo"
)

func newDemo(s streams) *cobra.Command {
	var hold, step bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole thing on loopback, and take a tour",
		Long: "Demo starts a sample API, patgate and a real Envoy on loopback, and sends the requests of a tour.\n" +
			"For each it shows the curl line that a user would type, Envoy's response and patgate's audit event.\n" +
			"It exits with 1 if one of them is not as described. On a terminal it keeps serving until Ctrl-C.\n" +
			"--step waits for Enter after each step. The environment variable ENVOY_PATH names the Envoy to use.",
		Example: "  patgate demo\n  ENVOY_PATH=/usr/bin/envoy patgate demo --hold",
		Args:    args(cobra.NoArgs, "takes no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.colored()
			self, err := os.Executable()
			if err != nil {
				return err
			}
			if f, ok := fileOf(s.out); ok && !cmd.Flags().Changed("hold") {
				in, inOK := s.in.(*os.File)
				hold = term.IsTerminal(int(f.Fd())) && inOK && term.IsTerminal(int(in.Fd()))
			}
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			o := demo.Options{Out: s.out, Executable: self, Hold: hold, Readable: audit.Readable}
			if step {
				o.Enter = s.in
			}
			err = demo.Run(ctx, o)
			if errors.Is(err, context.Canceled) {
				return nil // Ctrl-C is how a demo ends
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&hold, "hold", false, "keep serving after the tour, until Ctrl-C (default: on a terminal)")
	cmd.Flags().BoolVar(&step, "step", false, "wait for Enter after each step of the tour")
	return cmd
}
