package journal

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
)

// Replay hands over all records that earlier processes have written and that
// were not dropped, in order; rec is valid only during the call. It stops at the
// first error of visit and returns it.
//
// A record that was being written when its process died is left out: nobody was
// told that it was written. Any other place that cannot be read is copied to the
// directory quarantine, and after all the rest has been handed over a
// *DamageError lists these places. The files are not changed: Replay can be
// called again. It must not run together with Drop.
func (l *Log) Replay(visit func(s Segment, rec []byte) error) error {
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

// replay reads one segment and puts into quarantine what is damaged.
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
			if d.Kept, err = l.keep(d, data[g.at:g.at+g.n]); err != nil {
				return nil, err
			}
		}
		found = append(found, d)
	}
	return found, nil
}

// Quarantine keeps a record that its reader cannot make sense of, beside what is
// damaged, and says where.
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

// quarantined names the copy by where it was.
func quarantined(d Damage) string { return fmt.Sprintf("%s-%d.bad", d.Segment, d.Offset) }
