package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// host gives a gate another host under load: everything is decoded again.
func (r *scaleRun) host(s *subject, manifests string, i int) (change, error) {
	c := change{What: "a gate changes"}
	err := r.underLoad(s, &c, func() error {
		return replace(filepath.Join(manifests, "gate.yaml"), func(text []byte) []byte {
			return bytes.Replace(text, []byte("hosts: ["), fmt.Appendf(nil, "hosts: [other-%d.example.com, ", i), 1)
		})
	})
	return c, err
}

// other lets another process compute for a while, and changes nothing: what checks cost where the generator, the server
// and something else share the processors, whatever that is.
func (r *scaleRun) other(s *subject, _ string, _ int) (change, error) {
	c := change{What: "another process computes"}
	err := r.meanwhile(s, &c, func() error {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		p, err := startProcess([]string{"GOMAXPROCS=1"}, self, "compute")
		if err != nil {
			return err
		}
		time.Sleep(calm)
		p.stop()
		return nil
	})
	fmt.Fprintf(os.Stderr, "%s: p99 %.0f µs, before %.0f µs\n", c.What, c.P99, c.CalmP99)
	return c, err
}

// compute keeps one processor and its caches busy until the process is killed.
func compute() {
	data := make([]byte, 64<<20)
	for {
		sum := sha256.Sum256(data)
		copy(data, sum[:])
	}
}

// calm is how long the load runs before a change.
const calm = 5 * time.Second

// underLoad makes a change during checks at a fixed rate, until the server reports that it
// has loaded it.
func (r *scaleRun) underLoad(s *subject, c *change, do func() error) error {
	var last loadLine
	if err := r.meanwhile(s, c, func() error {
		loads := len(s.loads())
		if err := do(); err != nil {
			return err
		}
		err := s.server.await(10*time.Minute, func() error {
			if len(s.loads()) == loads {
				return fmt.Errorf("nothing was loaded")
			}
			return nil
		})
		if err == nil {
			last = s.loads()[loads]
		}
		return err
	}); err != nil {
		return err
	}
	c.Applied = last.applied()
	fmt.Fprintf(os.Stderr, "%s: loaded after %.0f ms, %.1f ms of them after reading, %.0f ms CPU; p99 %.0f µs, before %.0f µs; %d of %d failed %s\n",
		c.What, c.Loaded, c.Applied, c.CPU, c.P99, c.CalmP99, c.Failed, c.Checks, c.Wrong)
	if last.Msg != loadedMessage {
		return fmt.Errorf("the load was not taken: %s", s.server.stderr.String())
	}
	return nil
}

// meanwhile does something during checks at a fixed rate.
func (r *scaleRun) meanwhile(s *subject, c *change, do func() error) error {
	l, err := dialLasting("tcp", s.addr)
	if err != nil {
		return err
	}
	defer l.close()
	m := &measurement{link: l, requests: s.requests}
	ended, scheduled := make(chan error, 1), make(chan error, 1)
	go func() { ended <- l.answers(m.done) }()
	go func() { scheduled <- m.schedule(time.Now(), time.Hour, r.rate) }()
	time.Sleep(calm)
	changed, used := time.Now(), s.server.cpu()
	if err := do(); err != nil {
		return err
	}
	over := time.Now()
	c.CPU = micros(s.server.cpu()-used) / 1e3
	m.over.Store(true)
	if err := <-scheduled; err != nil {
		return err
	}
	if err := m.drain(ended); err != nil {
		return err
	}
	c.Loaded = micros(over.Sub(changed)) / 1e3
	m.judge(c, changed, over)
	return nil
}
