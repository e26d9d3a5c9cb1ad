package migrations

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

// fake is a database that remembers what was applied.
type fake struct {
	mu      sync.Mutex
	applied []Applied
	ran     []string
	fail    string // the migration that does not work
}

var _ Database = (*fake)(nil)

func (f *fake) Applied(context.Context) ([]Applied, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.applied), nil
}

func (f *fake) Apply(_ context.Context, m Migration) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.ContainsFunc(f.applied, func(a Applied) bool { return a.Version == m.Version }) {
		return false, nil
	}
	if m.Name == f.fail {
		return false, errors.New("no such table")
	}
	f.ran = append(f.ran, m.SQL)
	f.applied = append(f.applied, Applied{m.Version, m.Name, m.Checksum})
	return true, nil
}

func three(t *testing.T) []Migration {
	t.Helper()
	all, err := read(fstest.MapFS{
		"db/0001_one.sql":   {Data: []byte("one")},
		"db/0002_two.sql":   {Data: []byte("two")},
		"db/0003_three.sql": {Data: []byte("three")},
		"db/notes.txt":      {Data: []byte("not a migration")},
	}, "db")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRun(t *testing.T) {
	db, all := &fake{}, three(t)
	names, err := Run(t.Context(), db, all[:1])
	if err != nil || !slices.Equal(names, []string{"0001_one"}) {
		t.Fatalf("got %v, %v", names, err)
	}
	names, err = Run(t.Context(), db, all)
	if err != nil || !slices.Equal(names, []string{"0002_two", "0003_three"}) {
		t.Fatalf("got %v, %v; want what was missing, in order", names, err)
	}
	names, err = Run(t.Context(), db, all)
	if err != nil || len(names) != 0 {
		t.Fatalf("got %v, %v; want nothing the second time", names, err)
	}
	if !slices.Equal(db.ran, []string{"one", "two", "three"}) {
		t.Errorf("ran %v", db.ran)
	}
}

func TestRun_StopsAtTheFirstThatFails(t *testing.T) {
	db := &fake{fail: "0002_two"}
	names, err := Run(t.Context(), db, three(t))
	if err == nil || !strings.Contains(err.Error(), "0002_two: no such table") || !slices.Equal(names, []string{"0001_one"}) {
		t.Fatalf("got %v, %v", names, err)
	}
	if len(db.applied) != 1 {
		t.Errorf("applied %v", db.applied)
	}
}

func TestRun_SeveralAtOnce(t *testing.T) {
	db, all := &fake{}, three(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := Run(t.Context(), db, all); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if !slices.Equal(db.ran, []string{"one", "two", "three"}) {
		t.Errorf("ran %v", db.ran)
	}
}

func TestRun_Refuses(t *testing.T) {
	all := three(t)
	applied := func(all ...Migration) (rows []Applied) {
		for _, m := range all {
			rows = append(rows, Applied{m.Version, m.Name, m.Checksum})
		}
		return rows
	}
	tests := map[string]struct {
		applied []Applied
		known   []Migration
		want    string
	}{
		"a file that was changed": {
			append(applied(all[0]), Applied{2, "0002_two", "feedfacecafebeef"}), all,
			"0002_two was applied to the database with another text (feedfacecafe",
		},
		"a database that is newer": {
			applied(all...), all[:2],
			"the database has 0003_three but this program knows only 2 migrations: run a newer tallyroute",
		},
		"a program that knows none": {applied(all...), nil, "run a newer tallyroute"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			db := &fake{applied: tt.applied}
			_, err := Run(t.Context(), db, tt.known)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want something like %q", err, tt.want)
			}
			if len(db.ran) != 0 {
				t.Errorf("ran %v", db.ran)
			}
		})
	}
}

func TestRead_Refuses(t *testing.T) {
	for _, names := range [][]string{
		{"0002_late.sql"},
		{"0001_a.sql", "0001_b.sql"},
		{"0001_a.sql", "0003_c.sql"},
		{"1_short.sql"},
		{"0001.sql"},
		{"0001_.sql"},
		{"first.sql"},
	} {
		from := fstest.MapFS{}
		for _, name := range names {
			from["db/"+name] = &fstest.MapFile{}
		}
		if all, err := read(from, "db"); err == nil {
			t.Errorf("%v: got %v, want an error", names, all)
		}
	}
}

// Both databases are always at the same version.
func TestBothFoldersHoldTheSame(t *testing.T) {
	postgres, err := Postgres()
	if err != nil {
		t.Fatal(err)
	}
	sqlite, err := SQLite()
	if err != nil {
		t.Fatal(err)
	}
	names := func(all []Migration) (names []string) {
		for _, m := range all {
			names = append(names, m.Name)
		}
		return names
	}
	if !slices.Equal(names(postgres), names(sqlite)) || len(sqlite) == 0 {
		t.Errorf("postgres has %v, sqlite %v", names(postgres), names(sqlite))
	}
}
