package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// round is the result of one round of a load.
type round struct {
	perSecond float64
	cpuMicros float64 // of the target's process, per request
	p50, p99  time.Duration
}

func perSecond(r round) float64 { return r.perSecond }
func cpuMicros(r round) float64 { return r.cpuMicros }

// pair is one load through both targets.
type pair struct {
	name           string
	direct, routed []round
}

// ratio returns the median of the router divided by that of the bare proxy.
func (p pair) ratio(f func(round) float64) float64 { return median(p.routed, f) / median(p.direct, f) }

func (p pair) write(w io.Writer) {
	fmt.Fprintf(w, "%s\n", p.name)
	line := func(name string, rounds []round) {
		least, most := extremes(rounds, cpuMicros)
		fmt.Fprintf(w, "  %-10s %8.0f requests/s  %7.1f µs CPU/request (%.1f to %.1f)  p50 %s  p99 %s\n", name,
			median(rounds, perSecond), median(rounds, cpuMicros), least, most,
			latency(rounds, func(r round) time.Duration { return r.p50 }), latency(rounds, func(r round) time.Duration { return r.p99 }))
	}
	line("proxy", p.direct)
	line("tallyroute", p.routed)
	// Anything else running on the machine only ever adds time: the lowest figures are the least
	// disturbed.
	ours, _ := extremes(p.routed, cpuMicros)
	bare, _ := extremes(p.direct, cpuMicros)
	fmt.Fprintf(w, "  %-10s %8.2f             %7.2f (of the least: %.2f)\n", "ratio", p.ratio(perSecond), p.ratio(cpuMicros), ours/bare)
}

func latency(rounds []round, f func(round) time.Duration) time.Duration {
	ns := median(rounds, func(r round) float64 { return float64(f(r)) })
	return time.Duration(ns).Round(10 * time.Microsecond)
}

// report is the result of a run: one line for each figure that has a target or is worth
// comparing between versions.
type report struct{ figures []figure }

// figure is a number and its maximum; 0 means no target.
type figure struct {
	name        string
	value, most float64
}

func (r *report) add(name string, value, most float64) {
	r.figures = append(r.figures, figure{name, value, most})
}

func (r *report) write(w io.Writer) {
	fmt.Fprintf(w, "\n%-72s %9s  %s\n", "figure", "median", "target")
	for _, f := range r.figures {
		fmt.Fprintf(w, "%-72s %9.2f  %s\n", f.name, f.value, f.verdict())
	}
}

func (f figure) verdict() string {
	switch {
	case f.most == 0:
		return "none"
	case f.value <= f.most:
		return fmt.Sprintf("at most %.2f: met", f.most)
	}
	return fmt.Sprintf("at most %.2f: MISSED", f.most)
}

func median(rounds []round, f func(round) float64) float64 {
	list := values(rounds, f)
	half := len(list) / 2
	if len(list)%2 == 0 {
		return (list[half-1] + list[half]) / 2
	}
	return list[half]
}

func extremes(rounds []round, f func(round) float64) (least, most float64) {
	list := values(rounds, f)
	return list[0], list[len(list)-1]
}

// values returns the figures in ascending order. There is at least one round.
func values(rounds []round, f func(round) float64) []float64 {
	list := make([]float64, len(rounds))
	for i, r := range rounds {
		list[i] = f(r)
	}
	slices.Sort(list)
	return list
}
