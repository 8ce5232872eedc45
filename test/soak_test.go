//go:build soak

package test

import (
	"flag"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/patgate/patgate/test/configmap"
	"github.com/patgate/patgate/token"
)

// soak is how long TestSoak runs. Its first half is for warming up: the collector lets garbage gather, so that
// the resident memory grows until each page of that was used once.
var soak = flag.Duration("soak", 10*time.Minute, "how long TestSoak runs")

// maxSlope is by how much the resident memory may grow, in MiB a minute.
const maxSlope = 1.0

// sample is what the process held at a moment.
type sample struct {
	usage
	after time.Duration
}

// TestSoak runs a process behind Envoy for a while, under a steady load of calls that are
// allowed and refused, while manifests change and break, clients come and go in all ways,
// and the audit's reader stops at times. Memory, goroutines and descriptors must stay flat.
func TestSoak(t *testing.T) {
	value := token.Mint().Reveal()
	mount := configmap.Mount{Dir: t.TempDir()}
	manifests := func(step int) {
		t.Helper()
		files := map[string]string{"m.yaml": gateManifest + "---\n" + tokenManifest("ci", value, "")}
		for i := range 10 {
			files[fmt.Sprintf("t%d.yaml", i)] = tokenManifest(fmt.Sprintf("t%d", i), fmt.Sprintf("a value of the test %d %d", i, step), "")
		}
		if step%5 == 4 {
			files["t9.yaml"] = "kind: ["
		}
		if err := mount.Write(files); err != nil {
			t.Fatal(err)
		}
	}
	manifests(0)
	s := behindEnvoy(t, startBinary(t, plainBinary(t), mount.Dir), nil)
	l := startPacedLoad(t, 6, 25*time.Millisecond, "http://"+s.clients+"/rest/x", "Bearer "+value, "Bearer "+token.Mint().Reveal())
	framed := (&message{method: "GET", target: "/", host: "h"}).framed(t)
	var samples []sample
	t.Log("   after      MiB  goroutines  descriptors     allowed     refused   slowest")
	start, tick := time.Now(), time.NewTicker(time.Second)
	defer tick.Stop()
	for step := 1; time.Since(start) < *soak; step++ {
		<-tick.C // the load's time, not a wait
		manifests(step)
		churn(t, s.addr, framed)
		if step%60 == 30 { // the audit's reader stops until its pipe has been full for a while
			s.stallReader(t)
			l.awaitMore(t)
		}
		if step%5 == 0 {
			samples = append(samples, sample{s.usage(), time.Since(start)})
		}
		if step%30 == 0 {
			u := samples[len(samples)-1]
			t.Logf("%8v %8.1f %11d %12d %11d %11d %9v", u.after.Round(time.Second), mib(u.resident), u.goroutines, u.descriptors,
				l.allowed.Load(), l.refused.Load(), l.slowest())
		}
	}
	l.end()
	s.wantLast(value)
	s.wantInvariants(l)
	warm := samples[len(samples)/2:]
	slope := slopeOf(warm)
	t.Logf("the resident memory grew by %.2f MiB a minute", slope)
	if slope > maxSlope {
		t.Errorf("the resident memory grew by %.2f MiB a minute, want at most %v", slope, maxSlope)
	}
	first, last := warm[:len(warm)/4], warm[len(warm)*3/4:]
	for what, of := range map[string]func(usage) int{
		"goroutines":  func(u usage) int { return u.goroutines },
		"descriptors": func(u usage) int { return u.descriptors },
	} {
		a, b := mean(first, of), mean(last, of)
		t.Logf("%s: %.1f at first, %.1f at last", what, a, b)
		if b > a+slack {
			t.Errorf("%s grew from %.1f to %.1f", what, a, b)
		}
	}
}

// churn lets clients come and go: in order, during a check, and without a close.
func churn(t *testing.T, addr string, framed []byte) {
	t.Helper()
	for range 5 {
		for _, leave := range []func(f *frames){
			func(f *frames) { f.awaitSettings(t); _ = f.check(framed) },
			func(f *frames) { _, _ = f.open() },
			func(f *frames) {
				stream, _ := f.open()
				_ = f.WriteData(stream, false, framed[:10])
			},
			func(*frames) {},
		} {
			f := dialFrames(t, addr)
			leave(f)
			_ = f.Close()
		}
	}
}

// startPacedLoad is a load of calls at a steady pace, each with the next authorization:
// calls with the first one are to be allowed, others to be refused.
func startPacedLoad(t *testing.T, clients int, pace time.Duration, url string, authorization ...string) *load {
	l := &load{stop: make(chan struct{})}
	for range clients {
		l.running.Go(func() {
			client := &http.Client{Timeout: 10 * time.Second}
			tick := time.NewTicker(pace)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-l.stop:
					return
				case <-tick.C:
				}
				start := time.Now()
				status, err := call(client, url, authorization[n%len(authorization)])
				storeMax(&l.took, int64(time.Since(start)))
				first := n%len(authorization) == 0
				switch {
				case err != nil:
					t.Errorf("a call failed: %v", err)
					return
				case first && status == http.StatusOK:
					l.allowed.Add(1)
				case !first && status == http.StatusUnauthorized, status == http.StatusServiceUnavailable:
					l.refused.Add(1)
				default:
					t.Errorf("status %d", status)
				}
			}
		})
	}
	return l
}

// stallReader stops the audit's reader until nothing can be written.
func (p *patgate) stallReader(t *testing.T) {
	t.Helper()
	p.mu.Lock() // which the reader takes for each line
	defer p.mu.Unlock()
	for deadline := time.Now().Add(time.Minute); p.metrics()["patgate_audit_stalled"] == 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the pipe of the audit is never full")
		}
	}
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func mean(samples []sample, of func(usage) int) float64 {
	sum := 0
	for _, s := range samples {
		sum += of(s.usage)
	}
	return float64(sum) / float64(len(samples))
}

// slopeOf is the line through the resident memory (least squares), in MiB a minute.
func slopeOf(samples []sample) float64 {
	n := float64(len(samples))
	var x, y, xx, xy float64
	for _, s := range samples {
		at, m := s.after.Minutes(), mib(s.resident)
		x, y, xx, xy = x+at, y+m, xx+at*at, xy+at*m
	}
	return (n*xy - x*y) / (n*xx - x*x)
}
