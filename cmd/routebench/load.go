package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load is one kind of request.
type load struct {
	name  string
	path  string // "" means chat completions
	body  []byte
	end   string  // the end of a complete answer
	conns int     // requests in flight
	most  float64 // allowed CPU time, as a multiple of a bare proxy's; 0 means no target
}

// loads returns the loads: prompts of 1 and 4 KB, answered whole and as streams.
func loads() []load {
	const stream = `"stream":true,"stream_options":{"include_usage":true},`
	return []load{
		{name: "plain answer, 1 KB prompt", body: body("", 1<<10), end: "}", conns: 64, most: 2},
		{name: "plain answer, 4 KB prompt", body: body("", 4<<10), end: "}", conns: 64},
		{name: "stream of 100 chunks, 1 KB prompt", body: body(stream, 1<<10), end: "data: [DONE]", conns: 16},
		{name: "stream of 100 chunks, 4 KB prompt", body: body(stream, 4<<10), end: "data: [DONE]", conns: 16},
	}
}

func body(more string, size int) []byte {
	return []byte(`{"model":"bench",` + more + `"messages":[{"role":"system","content":"You count."},{"role":"user","content":"` +
		prompt(size) + `"}]}`)
}

func prompt(size int) string { return strings.Repeat(answerText, size/len(answerText)+1)[:size] }

// answer is one answer: when it ended and how long it took.
type answer struct {
	at   time.Time
	took time.Duration
}

// round runs the load for a while and measures what falls into its window. Every answer is
// checked.
func (t target) round(ctx context.Context, s settings, l load) (round, error) {
	ctx, cancel := context.WithTimeout(ctx, s.warmup+s.window+time.Minute)
	defer cancel()
	var over atomic.Bool
	var wg sync.WaitGroup
	lists, failed := make([][]answer, l.conns), make([]error, l.conns)
	for i := range l.conns {
		wg.Go(func() { lists[i], failed[i] = t.ask(ctx, l, &over) })
	}
	time.Sleep(s.warmup)
	cpu, from := t.process.cpu(), time.Now()
	time.Sleep(s.window)
	cpu, to := t.process.cpu()-cpu, time.Now()
	over.Store(true)
	wg.Wait()
	t.process.settle()
	if err := errors.Join(failed...); err != nil {
		return round{}, err
	}
	var took []time.Duration
	for _, a := range slices.Concat(lists...) {
		if a.at.After(from) && a.at.Before(to) {
			took = append(took, a.took)
		}
	}
	if len(took) == 0 {
		return round{}, errors.New("not one answer in the window; make it longer")
	}
	slices.Sort(took)
	return round{
		perSecond: float64(len(took)) / to.Sub(from).Seconds(),
		cpuMicros: float64(cpu.Microseconds()) / float64(len(took)),
		p50:       took[len(took)/2], p99: took[len(took)*99/100],
	}, nil
}

// ask sends one request after another over one connection until over is set.
func (t target) ask(ctx context.Context, l load, over *atomic.Bool) (list []answer, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // a broken connection shows up when it is used
	}
	request := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n",
		cmp.Or(l.path, "/v1/chat/completions"), t.address)
	if t.key != "" {
		request = fmt.Appendf(request, "Authorization: Bearer %s\r\n", t.key)
	}
	request = fmt.Appendf(request, "Content-Length: %d\r\n\r\n%s", len(l.body), l.body)
	r := bufio.NewReader(conn)
	for !over.Load() {
		sent := time.Now()
		if _, err := conn.Write(request); err != nil {
			return nil, err
		}
		if err := read(r, l.end); err != nil {
			return nil, err
		}
		now := time.Now()
		list = append(list, answer{now, now.Sub(sent)})
	}
	return list, nil
}

// read reads one answer and checks that it is complete.
func read(r *bufio.Reader, end string) error {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !bytes.HasSuffix(bytes.TrimRight(text, "\n"), []byte(end)) {
		return fmt.Errorf("status %d: %.300s", resp.StatusCode, text)
	}
	return nil
}
