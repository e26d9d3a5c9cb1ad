package web

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"tallyroute/router/limit"
)

// TestManyLargeBodiesHoldNoMoreThanTheyMay sends many at once, with or without an announced
// size. Those for which there is no room are refused, and what was held for them is free again.
func TestManyLargeBodiesHoldNoMoreThanTheyMay(t *testing.T) {
	const most, body = 64 << 20, 10 << 20
	budget := limit.NewBytes(0, most)
	var peak atomic.Int64
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			room := budget.Open()
			defer room.Close()
			room.Of("key_1")
			from, announced := io.Reader(readerFunc(zeros)), int64(-1)
			if i%2 == 0 {
				from, announced = io.LimitReader(from, body), body
			}
			_, err := readBody(from, announced, body, room)
			for used := budget.Used(); used > peak.Load(); {
				peak.Store(used)
			}
			var full *limit.FullError
			var large *TooLargeError
			if err != nil && !errors.As(err, &full) && !errors.As(err, &large) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if peak.Load() > most {
		t.Errorf("%d bytes were held, at most %d may be", peak.Load(), most)
	}
	if budget.Used() != 0 {
		t.Errorf("%d bytes are held by bodies that were refused or have ended", budget.Used())
	}
}

// TestBodyThatDoesNotComeTakesNoMemory announces a large body and sends little.
func TestBodyThatDoesNotComeTakesNoMemory(t *testing.T) {
	room := limit.NewBytes(0, 1<<30).Open()
	var held atomic.Int64
	from := readerFunc(func(p []byte) (int, error) {
		held.Store(int64(len(p)))
		return 1, io.ErrUnexpectedEOF
	})
	if _, err := readBody(from, 10<<20, 10<<20, room); err == nil || held.Load() > firstPiece {
		t.Errorf("%d bytes were taken for a body of which none had come: %v", held.Load(), err)
	}
}

type readerFunc func(p []byte) (int, error)

// zeros is an endless body.
func zeros(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestBodyIsReadIntoItsSize(t *testing.T) {
	for size, most := range map[int]float64{firstPiece: 1, 1 << 20: 5} {
		payload := bytes.NewReader(bytes.Repeat([]byte("a"), size))
		got := testing.AllocsPerRun(10, func() {
			payload.Seek(0, io.SeekStart)
			body, err := readBody(payload, int64(size), 10<<20, nil)
			if err != nil || len(body) != size || cap(body) != size {
				t.Fatal(len(body), cap(body), err)
			}
		})
		if got > most {
			t.Errorf("%d bytes: %v allocations", size, got)
		}
	}
}
