package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
)

// faultyDisk is a file system whose operations fail on demand.
type faultyDisk struct {
	vfs.VFS
	mu    sync.Mutex
	op    string
	err   error
	after int // how many operations of kind op still work
	times int // how many fail after that
	hits  int
}

func (d *faultyDisk) set(op string, err error, after, times int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.op, d.err, d.after, d.times, d.hits = op, err, after, times, 0
}

func (d *faultyDisk) fail(op string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if op != d.op || d.times == 0 {
		return nil
	}
	if d.after > 0 {
		d.after--
		return nil
	}
	d.times--
	d.hits++
	return d.err
}

// OpenFilename opens a file whose operations may fail.
func (d *faultyDisk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, flags, err := vfsutil.WrapOpenFilename(d.VFS, name, flags)
	if err != nil {
		return nil, flags, err
	}
	return &faultyFile{File: f, disk: d}, flags, nil
}

type faultyFile struct {
	vfs.File
	disk *faultyDisk
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.disk.fail("read"); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.disk.fail("write"); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultyFile) Sync(flags vfs.SyncFlag) error {
	if err := f.disk.fail("sync"); err != nil {
		return err
	}
	return f.File.Sync(flags)
}

// These are passed on to the file itself.

func (f *faultyFile) SharedMemory() vfs.SharedMemory { return vfsutil.WrapSharedMemory(f.File) }
func (f *faultyFile) LockState() vfs.LockLevel       { return vfsutil.WrapLockState(f.File) }

// openFaulty opens a migrated store on a disk that works until it is told to fail.
func openFaulty(t *testing.T) (*Store, *faultyDisk) {
	t.Helper()
	disk := &faultyDisk{VFS: vfs.Find("")}
	name := fmt.Sprintf("faulty%d", time.Now().UnixNano())
	vfs.Register(name, disk)
	t.Cleanup(func() { vfs.Unregister(name) })
	s := openOn(t, filepath.Join(t.TempDir(), "ledger.db"), name)
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, disk
}

// openOn opens a store on the disk with the given name.
func openOn(t *testing.T, path, disk string) *Store {
	t.Helper()
	file := "file:" + path + "?vfs=" + disk
	s := &Store{reporting: time.UTC, clock: time.Now}
	var err error
	if s.write, err = openWriter(t.Context(), "sqlite3",
		file+writePragmas+"&_pragma=cache_size(4)&_pragma=wal_autocheckpoint(20)&_pragma=mmap_size(0)"); err != nil {
		t.Fatal(err)
	}
	if s.reads, err = sql.Open("sqlite3", file+readPragmas); err != nil {
		t.Fatal(err)
	}
	s.read = newSession(s.reads)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestFaultsOfTheDiskLoseAndDoubleNothing makes reads, writes and syncs fail in the middle of
// everything that a ledger does. Callers are told that the database is unavailable, and retry;
// in the end everything is there exactly once. $FAULTS is the number of places at which each
// fault occurs.
func TestFaultsOfTheDiskLoseAndDoubleNothing(t *testing.T) {
	places := min(prove.Size(t, "FAULTS", 8), 15) // there are not many more syncs
	for _, fault := range []struct {
		op   string
		code sqlite3.ExtendedErrorCode
	}{
		{"write", sqlite3.IOERR_WRITE},
		{"write", sqlite3.ExtendedErrorCode(sqlite3.FULL)},
		{"write", sqlite3.ExtendedErrorCode(sqlite3.READONLY)},
		{"sync", sqlite3.IOERR_FSYNC},
		{"sync", sqlite3.ExtendedErrorCode(sqlite3.FULL)},
		{"read", sqlite3.IOERR_READ},
		{"read", sqlite3.ExtendedErrorCode(sqlite3.CORRUPT)},
		{"read", sqlite3.ExtendedErrorCode(sqlite3.CANTOPEN)},
	} {
		t.Run(fmt.Sprintf("%s_%d", fault.op, fault.code), func(t *testing.T) {
			t.Parallel()
			s, disk := openFaulty(t)
			r := &diskRig{Store: s, t: t}
			r.begin()
			hits := 0
			for n := range places {
				disk.set(fault.op, fault.code, n*map[string]int{"write": 3, "read": 3, "sync": 1}[fault.op], 2)
				r.everything()
				hits += disk.hits
			}
			disk.set("", nil, 0, 0)
			r.settled()
			t.Logf("%d faults, %d requests", hits, r.requests)
			if hits < places {
				t.Errorf("%d faults came up at %d places", hits, places)
			}
		})
	}
}

// diskRig does everything that a ledger does.
type diskRig struct {
	*Store
	t        *testing.T
	keys     []billing.Key
	ids      int
	requests int
}

func (r *diskRig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// begin makes a key for each kind of limit.
func (r *diskRig) begin() {
	p, err := r.EnsureProject(r.t.Context(), billing.Project{Team: "web", Name: "shop", CostCenter: "cc", Environment: "prod"})
	r.must(err)
	limit, usd := int64(1_000_000_000), billing.Money(1_000_000_000)
	for i, b := range []billing.Budget{{Tokens: &limit}, {Money: &usd}, {Tokens: &limit, Money: &usd}} {
		b.ID, b.Scope, b.Period = fmt.Sprintf("bud_%d", i), billing.ScopeKey, billing.PeriodDay
		hash := [32]byte{byte(i + 1)}
		r.must(r.CreateKey(r.t.Context(), billing.Key{
			ID: billing.KeyID(fmt.Sprintf("key_%d", i)), Name: "k", ProjectID: p.ID,
			Budgets: []billing.Budget{b},
		}, hash))
		k, err := r.KeyByHash(r.t.Context(), hash)
		r.must(err)
		r.keys = append(r.keys, k)
	}
}

// until repeats an operation until it works.
func (r *diskRig) until(what string, do func(ctx context.Context) error) {
	r.t.Helper()
	for try := 1; ; try++ {
		err := do(r.t.Context())
		if err == nil {
			return
		}
		if try > 20 || !errors.Is(err, billing.ErrUnavailable) {
			r.t.Fatalf("%s, try %d: %v", what, try, err)
		}
	}
}

func (r *diskRig) everything() {
	now := time.Now()
	k := &r.keys[r.ids%len(r.keys)]
	row := func() billing.Spend {
		r.ids++
		return billing.Spend{
			OccurredAt: now, Kind: billing.KindUsage, RequestID: fmt.Sprintf("req_%d", r.ids), Attempt: 1, Final: true, Owner: k.Owner(),
			RequestedModel: "m", Provider: "up", Model: "m", RouteReason: billing.RouteOnly, Status: billing.StatusOK,
			UsageSource: billing.Reported,
			Tokens:      billing.Tokens{Input: 10}, Pricing: billing.Priced, Cost: billing.Cost{Input: 20, Total: 20}, Baseline: 20,
		}
	}
	window, err := k.Budgets[0].Window(now)
	r.must(err)
	line := billing.HoldLine{Budget: k.Budgets[0], Window: window}
	replica := billing.Replica{ID: "rep_1", Epoch: fmt.Sprint("epoch_", r.ids), TTL: time.Minute}
	posted, refused := row(), row()
	p := billing.Posting{
		Replica: replica, Seq: 1, Rows: []billing.Spend{posted}, Rejects: []billing.Reject{{Row: refused, Reason: "a test"}},
		Leases: []billing.LeaseChange{{BudgetID: line.Budget.ID, WindowStart: window.Start, Down: billing.Amount{Tokens: 20, Money: 40}}},
	}
	r.until("Renew", func(ctx context.Context) error { _, err := r.Renew(ctx, replica, billing.Joining); return err })
	r.until("Grant", func(ctx context.Context) error {
		_, _, err := r.Grant(ctx, replica, []billing.Want{{HoldLine: line, Need: billing.Amount{Tokens: 20, Money: 40}}})
		return err
	})
	r.until("Post", func(ctx context.Context) error { _, err := r.Post(ctx, p); return err })
	r.until("BookRejects", func(ctx context.Context) error {
		_, err := r.BookRejects(ctx, refused.RequestID, "ann")
		if errors.As(err, new(*billing.NotFoundError)) {
			err = nil // an earlier try succeeded but was told that it had failed
		}
		return err
	})
	r.until("Return", func(ctx context.Context) error { return r.Return(ctx, replica.ID, "") })

	holds := make([]billing.Hold, 3)
	for i := range holds {
		lost := row()
		holds[i] = billing.Hold{
			ID: lost.RequestID, KeyID: k.ID, KeyVersion: k.Version, Tokens: 10, Money: 20,
			ExpiresAt: now.Add(time.Hour), IfLost: lost, Lines: []billing.HoldLine{line},
		}
	}
	holds[2].ExpiresAt = now.Add(-time.Minute)
	for _, h := range holds {
		r.until("Reserve", func(ctx context.Context) error {
			_, err := r.Reserve(ctx, h, now)
			if errors.Is(err, billing.ErrDuplicate) {
				err = nil // as above
			}
			return err
		})
	}
	r.until("Settle", func(ctx context.Context) error {
		_, err := r.Settle(ctx, billing.Settlement{HoldID: holds[0].ID, Attempts: []billing.Spend{holds[0].IfLost}})
		return err
	})
	r.until("Release", func(ctx context.Context) error { return r.Release(ctx, holds[1].ID) })
	r.until("Sweep", func(ctx context.Context) error { _, err := r.Sweep(ctx, now); return err })
	r.until("Balances", func(ctx context.Context) error { _, err := r.Balances(ctx, k, now); return err })
	r.requests += 4
}

// settled checks that everything is in the ledger exactly once.
func (r *diskRig) settled() {
	r.t.Helper()
	report, err := r.CheckIntegrity(r.t.Context(), billing.IntegrityOptions{Now: time.Now()})
	r.must(err)
	if report.Breaches > 0 {
		r.t.Errorf("integrity: %s", report.First)
	}
	waiting, err := r.ListRejects(r.t.Context(), "")
	r.must(err)
	var rows int
	r.until("count", func(ctx context.Context) error {
		_, err := r.read.row(ctx, "SELECT count(*) FROM spend_events", nil, &rows)
		return err
	})
	if rows != r.requests || len(waiting) > 0 {
		r.t.Errorf("%d rows for %d requests, %d rejected", rows, r.requests, len(waiting))
	}
}
