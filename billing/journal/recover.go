package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io/fs"
	"os"
)

// state is what was found at a position in a segment.
type state int

const (
	whole state = iota // a record
	wrong              // the length of a record, but a wrong checksum
	short              // the beginning of a record: the file ends too early
	noise              // not the beginning of a record
)

// look reads the record at the beginning of b. n is its length including its head where
// that is known, that is, unless there is only noise.
func look(b []byte, seed uint32) (rec []byte, n int, st state) {
	if len(b) < 8 {
		return nil, 0, short
	}
	length := binary.LittleEndian.Uint32(b)
	if length != ^binary.LittleEndian.Uint32(b[4:]) || length == 0 || length > MaxRecord {
		return nil, 0, noise
	}
	n = headSize + int(length)
	if len(b) < n {
		return nil, n, short
	}
	rec = b[headSize:n]
	if binary.LittleEndian.Uint32(b[8:]) != crc32.Update(crc32.Update(seed, castagnoli, b[:4]), castagnoli, rec) {
		return nil, n, wrong
	}
	return rec, n, whole
}

// gap is a stretch that is not a record.
type gap struct {
	at, n  int64
	torn   bool // an unfinished write: the record was never acknowledged
	reason string
}

// scan passes every record of a segment to yield. end is the length that the segment
// must have, or 0 if its process died before that was known. Only yield causes errors.
func scan(s Segment, data []byte, end int64, yield func(rec []byte) error) ([]gap, error) {
	var gaps []gap
	size := int64(len(data))
	if end > 0 && end < size {
		data, size = data[:end], end // what follows was cut off when a write failed
	}
	at := min(size, headerSize)
	if h, ok := parseHeader(data[:at]); at == headerSize && (!ok || h.number != s) {
		gaps = append(gaps, gap{at: 0, n: headerSize, reason: "the header is damaged"})
	}
	seed := s.seed()
	for at < size {
		rec, n, st := look(data[at:], seed)
		if st == whole {
			if err := yield(rec); err != nil {
				return gaps, err
			}
			at += int64(n)
			continue
		}
		g := skip(data[at:], seed, n, st)
		g.at = at
		at += g.n
		g.torn = g.torn && at == size && end == 0
		gaps = append(gaps, g)
	}
	if end > size {
		gaps = append(gaps, gap{at: size, n: end - size, reason: "the end is missing"})
	}
	return gaps, nil
}

// skip determines the length of the gap that b begins with. A sound length is trusted,
// so that the contents of a record are not taken for records.
func skip(b []byte, seed uint32, n int, st state) gap {
	switch st {
	case short:
		return gap{n: int64(len(b)), torn: true, reason: "the record is cut off"}
	case wrong:
		return gap{n: int64(n), reason: "the checksum is wrong"}
	default:
		return seek(b, seed)
	}
}

// seek looks for the next record that is entirely intact.
func seek(b []byte, seed uint32) gap {
	if empty(b) {
		return gap{n: int64(len(b)), torn: true, reason: "nothing but noughts"}
	}
	g := gap{n: int64(len(b)), reason: "not a record"}
	work := 16 * len(b) // a bound against files crafted to keep us busy
	for at := 1; at < len(b) && work > 0; at++ {
		_, n, st := look(b[at:], seed)
		if st == whole {
			g.n = int64(at)
			return g
		}
		if st == wrong {
			work -= n
		}
	}
	return g
}

// empty reports whether b contains only zeros.
func empty(b []byte) bool {
	return len(bytes.TrimLeft(b, "\x00")) == 0
}

// Recover passes to visit all records that earlier processes wrote and that were not
// dropped, in order; rec is valid only during the call. It stops at the first error of
// visit and returns it.
//
// A record that was being written when its process died is left out: nobody was told
// that it was written. Any other unreadable place is copied to the quarantine
// directory, and after everything else has been passed on, a *DamageError lists these
// places. The files are not changed, so Recover can be called again. It must not run
// concurrently with Drop.
func (l *Log) Recover(visit func(s Segment, rec []byte) error) error {
	l.mu.Lock()
	var old []*segment
	for _, s := range l.all {
		if s.number < l.own {
			old = append(old, s)
		}
	}
	l.mu.Unlock()

	var damage []Damage
	for i, s := range old {
		if i > 0 && s.number != old[i-1].number+1 {
			damage = append(damage, Damage{Segment: old[i-1].number + 1, Reason: "the segment is missing"})
		}
		var end int64
		if i+1 < len(old) && old[i+1].number == s.number+1 {
			end = old[i+1].before
		}
		found, err := l.replay(s, end, visit)
		if err != nil {
			return err
		}
		damage = append(damage, found...)
	}
	if len(damage) > 0 {
		return &DamageError{damage}
	}
	return nil
}

// replay reads one segment and puts damaged places into quarantine.
func (l *Log) replay(s *segment, end int64, visit func(Segment, []byte) error) ([]Damage, error) {
	data, err := os.ReadFile(l.path(s.number.file()))
	if err != nil {
		return nil, failure(ErrFailed, "replay", err)
	}
	gaps, err := scan(s.number, data, end, func(rec []byte) error { return visit(s.number, rec) })
	if err != nil {
		return nil, err
	}
	var found []Damage
	for _, g := range gaps {
		if g.torn {
			continue
		}
		d := Damage{Segment: s.number, Offset: g.at, Bytes: g.n, Reason: g.reason}
		if g.at < int64(len(data)) {
			if d.Quarantined, err = l.keep(d, data[g.at:g.at+g.n]); err != nil {
				return nil, err
			}
		}
		found = append(found, d)
	}
	return found, nil
}

// Quarantine stores a record that its reader cannot interpret with the damaged places,
// and returns where.
func (l *Log) Quarantine(s Segment, rec []byte) (string, error) {
	h := fnv.New64a()
	_, _ = h.Write(rec) // never fails
	return l.store(fmt.Sprintf("%s-%016x.record", s, h.Sum64()), rec)
}

// keep copies what cannot be read to a file of its own, once.
func (l *Log) keep(d Damage, b []byte) (string, error) { return l.store(quarantined(d), b) }

// store writes a file in quarantine, once.
func (l *Log) store(file string, b []byte) (string, error) {
	dir := l.path(quarantine)
	if err := makeDir(dir); err != nil {
		return "", failure(ErrFailed, "quarantine", err)
	}
	name := dir + string(os.PathSeparator) + file
	if info, err := os.Stat(name); err == nil && info.Size() == int64(len(b)) {
		return name, nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", failure(ErrFailed, "quarantine", err)
	}
	if err := replace(name, b); err != nil {
		return "", failure(ErrFailed, "quarantine", err)
	}
	return name, nil
}

// quarantined returns the name of the copy, made from the original location.
func quarantined(d Damage) string { return fmt.Sprintf("%s-%d.bad", d.Segment, d.Offset) }

// Empty removes all segments, including the active one, if nothing can be written for
// lack of space, so that a disk filled by the log itself has room again. Otherwise it
// does nothing. Nothing in the log may still be needed, and no Append may be in
// progress.
func (l *Log) Empty() error {
	l.dropping.Lock()
	defer l.dropping.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.fault.Load(); l.closed || f == nil || !errors.Is(f.err, ErrFull) {
		return nil
	}
	if l.active != nil {
		l.retire(l.active)
		l.active = nil
	}
	for len(l.all) > 0 {
		s := l.all[0]
		if err := l.gone(s); err != nil {
			return err
		}
		l.all = l.all[1:]
		l.size.Add(-s.size)
	}
	return nil
}

// gone removes the file of a segment.
func (l *Log) gone(s *segment) error {
	if err := l.disk.remove(s.number.file()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return failure(ErrFailed, "drop a segment", err)
	}
	// One at a time: if a file disappears before an older one, it looks lost.
	if err := l.disk.sync(); err != nil {
		return failure(ErrFailed, "drop a segment", err)
	}
	return nil
}

// Restore returns nil while all files of the log are where they were. If somebody has
// deleted or replaced them, it recreates the directory, begins a segment in it, and
// returns an error that wraps ErrLost: what is still needed from the lost segments must
// be appended again. Any other error says why that was not possible; nothing can be
// written then.
func (l *Log) Restore() error {
	l.dropping.Lock()
	defer l.dropping.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	lost := l.lost()
	if lost == nil {
		return nil
	}
	if err := l.begin(); err != nil {
		if l.active != nil { // what is written to a file without a name is gone after a crash
			l.retire(l.active)
			l.active = nil
		}
		return errors.Join(lost, l.fail(fault{err: failure(ErrFailed, "recreate the directory", err)}))
	}
	l.fault.Store(nil)
	return lost
}

// lost says what is missing or no longer ours.
func (l *Log) lost() error {
	held, err := l.lock.Stat()
	if err != nil {
		return nil //nolint:nilerr // it cannot be told
	}
	if there, err := os.Stat(l.path(lockFile)); err != nil || !os.SameFile(held, there) {
		return fmt.Errorf("%w: %s is not the directory that it was", ErrLost, l.dir)
	}
	for _, s := range l.all {
		if _, err := os.Stat(l.path(s.number.file())); errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w: %s", ErrLost, l.path(s.number.file()))
		}
	}
	return nil
}

// begin takes possession of the directory again and begins a segment there.
func (l *Log) begin() error {
	if err := makeDir(l.dir); err != nil {
		return err
	}
	held, err := l.lock.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Stat(l.path(lockFile)); err != nil || !os.SameFile(held, there) {
		lock, err := lockDir(l.dir)
		if err != nil {
			return err
		}
		_ = l.lock.Close()
		l.lock = lock
	}
	if err := replace(l.path(idFile), []byte(l.id+"\n")); err != nil {
		return err
	}
	if l.active != nil {
		l.retire(l.active)
		l.active = nil
	}
	kept := l.all[:0]
	for _, s := range l.all {
		if _, err := os.Stat(l.path(s.number.file())); err != nil {
			l.size.Add(-s.size)
			continue
		}
		kept = append(kept, s)
	}
	clear(l.all[len(kept):])
	l.all = kept
	l.active, err = l.create()
	return err
}
