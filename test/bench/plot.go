package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// The plots are handwritten SVG: a few lines and texts. Their colours are readable on a
// light and on a dark page, and lines differ by more than their colour.

const (
	plotWidth, plotHeight                = 760, 380
	plotLeft, plotRight, plotTop, bottom = 70, 200, 44, 50
	ink                                  = "#808080"
)

// strokes distinguish the lines.
var strokes = []struct{ colour, dash string }{
	{"#7f8fa6", "6 4"}, {"#d9822b", "2 3"}, {"#2f9e6e", "8 3 2 3"}, {"#3b82d6", ""}, {"#c2449a", "12 3"},
}

// drawing gathers the elements of an SVG.
type drawing struct{ strings.Builder }

func newDrawing(title string, height int) *drawing {
	d := &drawing{}
	d.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="%s" role="img">`+"\n", plotWidth, height, ink)
	d.add("<title>%s</title>\n", title)
	d.text(plotLeft, 20, "start", title)
	return d
}

func (d *drawing) add(format string, args ...any) { fmt.Fprintf(&d.Builder, format, args...) }

func (d *drawing) text(x, y float64, anchor, text string) {
	d.add(`<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", x, y, anchor, text)
}

func (d *drawing) line(x1, y1, x2, y2 float64) {
	d.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-opacity="0.35"/>`+"\n", x1, y1, x2, y2, ink)
}

func (d *drawing) save(file string) error {
	return os.WriteFile(file, []byte(d.String()+"</svg>\n"), 0o644)
}

// writePlots draws the latencies of the open loop, direct and through Envoy, and the rates
// of the closed one.
func writePlots(dir string, list []*subject, all []round) error {
	for _, p := range []struct{ file, title, via string }{
		{"latency.svg", "latency of a check, open loop, direct", "tcp"},
		{"latency-envoy.svg", "latency of a request through Envoy, open loop", "envoy"},
	} {
		var shown []*subject
		for _, s := range list {
			if s.via == p.via && s.kind != tunedNoop {
				shown = append(shown, s)
			}
		}
		if err := plotLatencies(filepath.Join(dir, p.file), p.title, shown, all); err != nil {
			return err
		}
	}
	return plotRates(filepath.Join(dir, "rate.svg"), list, all)
}

// medians is the median of a subject's rounds at each of the shares.
func medians(all []round, subject, loop string) []float64 {
	var list []float64
	for i := range shares {
		list = append(list, median(values(all, subject, loop, func(r round) float64 { return r.Curve[i] })))
	}
	return list
}

// marks are the shares that the axis names.
var marks = []float64{0, 0.5, 0.9, 0.99, 0.999, 0.9999}

// plotLatencies draws a line for each subject: to the right the rarer answers, each tenth
// as many as before as wide as the last; upwards the latency, by powers of ten.
func plotLatencies(file, title string, list []*subject, all []round) error {
	d := newDrawing(title+": which share of answers came within which time", plotHeight)
	curves := make([][]float64, len(list))
	low, high := math.Inf(1), 0.0
	for i, s := range list {
		curves[i] = medians(all, s.name, "open")
		for _, v := range curves[i] {
			low, high = min(low, max(v, 1)), max(high, v, 10)
		}
	}
	low, high = math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	x := func(share float64) float64 {
		return plotLeft - math.Log10(1-share)/4*(plotWidth-plotLeft-plotRight)
	}
	y := func(micros float64) float64 {
		return plotHeight - bottom - (math.Log10(max(micros, 1))-low)/(high-low)*(plotHeight-plotTop-bottom)
	}
	for _, share := range marks {
		d.line(x(share), plotTop, x(share), plotHeight-bottom)
		d.text(x(share), plotHeight-bottom+18, "middle", fmt.Sprintf("%.6g %%", share*100))
	}
	for e := low; e <= high; e++ {
		for _, step := range []float64{1, 2, 5} {
			if v := step * math.Pow(10, e); v <= math.Pow(10, high) {
				d.line(plotLeft, y(v), plotWidth-plotRight, y(v))
				d.text(plotLeft-8, y(v)+4, "end", duration(v))
			}
		}
	}
	d.text(plotLeft, plotHeight-10, "start", "share of the answers")
	for i, s := range list {
		stroke := strokes[i%len(strokes)]
		var points []string
		for k, v := range curves[i] {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(shares[k]), y(v)))
		}
		style := fmt.Sprintf(`fill="none" stroke="%s" stroke-width="2" stroke-dasharray="%s"`, stroke.colour, stroke.dash)
		d.add(`<polyline points="%s" %s/>`+"\n", strings.Join(points, " "), style)
		at := float64(plotTop + 10 + 20*i)
		d.add(`<polyline points="%d,%.1f %d,%.1f" %s/>`+"\n", plotWidth-plotRight+14, at-4, plotWidth-plotRight+44, at-4, style)
		d.text(plotWidth-plotRight+52, at, "start", s.name)
	}
	return d.save(file)
}

// duration writes microseconds as people do.
func duration(micros float64) string {
	switch {
	case micros >= 1e6:
		return fmt.Sprintf("%.3g s", micros/1e6)
	case micros >= 1e3:
		return fmt.Sprintf("%.3g ms", micros/1e3)
	}
	return fmt.Sprintf("%.3g µs", micros)
}

// plotRates draws a bar for each subject: its rate in the closed loop against the no-op's
// that it is compared with, and a line from the lowest to the highest of its rounds.
func plotRates(file string, list []*subject, all []round) error {
	const step, left = 30, 190
	height := plotTop + step*len(list) + 40
	d := newDrawing("rate of the closed loop against the no-op's of the same rounds", height)
	type bar struct{ low, mid, high float64 }
	bars := make([]bar, len(list))
	most := 1.0
	for i, s := range list {
		r := ratios(all, s.name, s.base, "closed", rateOf)
		low, high := math.Inf(1), 0.0
		for _, v := range r {
			low, high = min(low, v), max(high, v)
		}
		bars[i] = bar{low, median(r), high}
		most = max(most, high)
	}
	x := func(ratio float64) float64 { return left + ratio/most*(plotWidth-left-60) }
	for i, s := range list {
		at := float64(plotTop + step*i)
		d.text(left-10, at+14, "end", s.name)
		d.add(`<rect x="%d" y="%.1f" width="%.1f" height="18" fill="%s" fill-opacity="0.7"/>`+"\n", left, at, x(bars[i].mid)-left, strokes[viaColour(s)].colour)
		d.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="2"/>`+"\n", x(bars[i].low), at+9, x(bars[i].high), at+9, ink)
		d.text(x(bars[i].high)+6, at+14, "start", fmt.Sprintf("%.2fx", bars[i].mid))
	}
	d.line(x(1), plotTop-6, x(1), float64(plotTop+step*len(list)))
	d.text(x(1), float64(height-14), "middle", "the no-op")
	return d.save(file)
}

// viaColour shows patgate in another colour than the baseline.
func viaColour(s *subject) int {
	if s.kind == full {
		return 3
	}
	return 0
}
