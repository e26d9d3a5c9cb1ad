package sse

import "io"

// Writer writes events, each with one Write, and flushes nothing itself.
type Writer struct {
	w io.Writer
}

// NewWriter writes events to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Data writes an event that has only data. Line ends in it become further data lines.
func (w *Writer) Data(data []byte) error { return nil }

// Event writes an event with a name and an id where they are not empty.
func (w *Writer) Event(e Event) error { return nil }

// Comment writes a comment, which keeps a connection alive and says nothing.
func (w *Writer) Comment(text string) error { return nil }
