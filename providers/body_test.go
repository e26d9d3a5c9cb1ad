package providers

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slow returns one byte after each pause, until ctx ends.
type slow struct {
	ctx   context.Context
	pause time.Duration
}

func (s slow) Read(p []byte) (int, error) {
	select {
	case <-time.After(s.pause):
		p[0] = ':'
		return 1, nil
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	}
}

func (slow) Close() error { return nil }

func watched(t *testing.T) (context.Context, *time.Timer) {
	ctx, cancel := context.WithCancelCause(t.Context())
	timer := time.AfterFunc(time.Hour, func() { cancel(errSilent) })
	timer.Stop()
	return ctx, timer
}

func TestIdleTime(t *testing.T) {
	for name, c := range map[string]struct {
		pause, until, want time.Duration
	}{
		"silent":             {time.Hour, 0, time.Minute},
		"trickling":          {59 * time.Second, 0, 0},
		"trickling, bounded": {20 * time.Second, 90 * time.Second, 90 * time.Second},
		"silent, bounded":    {time.Hour, 90 * time.Second, time.Minute},
		"late":               {time.Hour, time.Second, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, timer := watched(t)
				b := &body{rc: slow{ctx, c.pause}, timer: timer, idle: time.Minute}
				began := time.Now()
				if c.until > 0 {
					b.until = began.Add(c.until)
				}
				_, err := io.CopyN(io.Discard, b, 100)
				if c.want == 0 {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if took := time.Since(began); took != c.want || !errors.Is(context.Cause(ctx), errSilent) || b.err == nil {
					t.Errorf("after %s: %v", took, err)
				}
			})
		})
	}
}

// A client that reads slowly is not held against the provider.
func TestIdleTimeDoesNotCountTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, timer := watched(t)
		b := &body{rc: io.NopCloser(strings.NewReader("abc")), timer: timer, idle: time.Second}
		for range 3 {
			if _, err := b.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		if ctx.Err() != nil {
			t.Error("the call was cut")
		}
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || !b.ended || b.err != nil {
			t.Errorf("%v, %+v", err, b)
		}
	})
}

func TestReadAll(t *testing.T) {
	for _, c := range []struct {
		size          int
		length, limit int64
		err           error
	}{
		{0, 0, 10, nil},
		{0, -1, 10, nil},
		{10, 10, 10, nil},
		{11, 11, 10, errTooLarge},
		{11, 3, 10, errTooLarge},
		{200_000, -1, 200_000, nil},
		{200_000, 1 << 40, 200_000, nil},
		{200_001, 5, 200_000, errTooLarge},
	} {
		_, timer := watched(t)
		want := strings.Repeat("x", c.size)
		b := &body{rc: io.NopCloser(strings.NewReader(want)), timer: timer, idle: time.Minute}
		got, err := b.readAll(c.length, c.limit)
		if !errors.Is(err, c.err) || err == nil && string(got) != want {
			t.Errorf("%+v: %d bytes, %v", c, len(got), err)
		}
	}
}
