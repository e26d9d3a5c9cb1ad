package main

import (
	"bufio"
	"bytes"
	"net"
	"strconv"
	"strings"
	"testing"
)

func TestRatioIsOfMedians(t *testing.T) {
	cpu := func(list ...float64) (rounds []round) {
		for _, v := range list {
			rounds = append(rounds, round{cpuMicros: v})
		}
		return rounds
	}
	p := pair{direct: cpu(90, 100, 500), routed: cpu(150, 1000, 130, 170)}
	if got := p.ratio(cpuMicros); got != 1.6 {
		t.Errorf("ratio %v, want 1.6", got)
	}
	for _, f := range []struct {
		figure
		want string
	}{{figure{"", 2, 2}, "met"}, {figure{"", 2.01, 2}, "MISSED"}, {figure{"", 5, 0}, "none"}} {
		if got := f.verdict(); !strings.Contains(got, f.want) {
			t.Errorf("%+v: %s", f.figure, got)
		}
	}
}

// The mock's answers are complete, and an incomplete one is detected.
func TestMockAnswers(t *testing.T) {
	for _, l := range loads() {
		ours, its := net.Pipe()
		go serve(its, func(string, int) mock { return newMock(256) })
		go func() {
			_, _ = ours.Write([]byte("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: "))
			_, _ = ours.Write([]byte(strconv.Itoa(len(l.body)) + "\r\n\r\n"))
			_, _ = ours.Write(l.body)
		}()
		if err := read(bufio.NewReader(ours), l.end); err != nil {
			t.Errorf("%s: %v", l.name, err)
		}
		_ = ours.Close()
	}
	m := newMock(256)
	whole := bytes.Join(m.stream, nil)
	for _, bad := range [][]byte{whole[:len(whole)-40], m.plain[:len(m.plain)-3], []byte("HTTP/1.1 503 No\r\nContent-Length: 1\r\n\r\n}")} {
		if err := read(bufio.NewReader(bytes.NewReader(bad)), "}"); err == nil {
			t.Errorf("taken for whole: %.100q", bad)
		}
	}
}
