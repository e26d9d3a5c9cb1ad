package sse

import (
	"bytes"
	"io"
)

// Writer writes events, each with one Write. It does not flush.
type Writer struct {
	w   io.Writer
	buf []byte
}

// NewWriter returns a Writer that writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Data writes an event that has only data. Each further line of data becomes a data line of
// its own.
func (w *Writer) Data(data []byte) error { return w.Event(Event{Data: data}) }

// Event writes an event, with its name and id if they are not empty.
func (w *Writer) Event(e Event) error {
	w.buf = w.buf[:0]
	if len(e.Name) > 0 {
		w.lines("event: ", e.Name[:lineEnd(e.Name)])
	}
	if len(e.ID) > 0 {
		w.lines("id: ", e.ID[:lineEnd(e.ID)])
	}
	w.lines("data: ", e.Data)
	return w.write()
}

// Comment writes a comment, which keeps a connection alive without saying anything.
func (w *Writer) Comment(text string) error {
	w.buf = w.buf[:0]
	w.lines(": ", []byte(text))
	return w.write()
}

// lines adds each line of text, preceded by prefix.
func (w *Writer) lines(prefix string, text []byte) {
	for {
		end := lineEnd(text)
		w.buf = append(append(append(w.buf, prefix...), text[:end]...), '\n')
		if end == len(text) {
			return
		}
		if bytes.HasPrefix(text[end:], []byte("\r\n")) {
			end++
		}
		text = text[end+1:]
	}
}

func (w *Writer) write() error {
	w.buf = append(w.buf, '\n')
	_, err := w.w.Write(w.buf)
	return err
}
