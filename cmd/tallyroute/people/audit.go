package people

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/audit"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/finance"
	"tallyroute/router/admin"
)

type auditList struct {
	cli.Format
	Object  string        `help:"The id of what was changed." placeholder:"ID"`
	Actor   string        `help:"Who changed it, such as cli:ann." placeholder:"NAME"`
	Action  string        `help:"Such as key.revoke; key. matches every action that begins with it." placeholder:"ACTION"`
	Outcome string        `help:"${enum}." enum:"done,denied,failed," default:"" placeholder:"OUTCOME"`
	Since   time.Duration `help:"How far back, such as 24h."`
	Limit   int           `help:"How many; at most 1000." default:"100"`
}

// Run lists the records.
func (c auditList) Run(a *cli.Context) error {
	q := adminapi.Query("object", c.Object, "actor", c.Actor, "action", c.Action, "outcome", c.Outcome)
	if c.Since > 0 {
		q.Set("since", cli.Timestamp(time.Now().Add(-c.Since)))
	}
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.AuditRecord](a.Ctx, r, "/audit", q, c.Limit)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"CHANGED", "ACTOR", "ROLE", "FROM", "ACTION", "OBJECT", "OUTCOME", "REASON", "WHAT"}, Records: all}
		for _, one := range all {
			t.Add(cli.Text(cli.Timestamp(cli.InstantOf(one.ChangedAt))), cli.Text(one.Actor), cli.Text(one.Role), cli.Text(one.Source),
				cli.Text(one.Action),
				cli.Text(one.Object), cli.Text(string(one.Outcome)), cli.Text(one.Reason), cli.Text(cli.DetailText(one.Detail)))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

type auditVerify struct {
	File       string `help:"Verify an export instead of the database." placeholder:"FILE"`
	Checkpoint string `help:"A stored checkpoint." placeholder:"FILE"`
	PublicKey  string `help:"Of the key that signed the checkpoint." placeholder:"BASE64"`
}

var errTampered = errors.New("the audit log is not what was written")

// Run describes the log, and fails if it isn't what was originally written.
func (c auditVerify) Run(a *cli.Context) error {
	var marks []billing.AuditMark
	if c.Checkpoint != "" {
		text, err := os.ReadFile(c.Checkpoint)
		if err != nil {
			return err
		}
		signed, err := audit.Open(text, c.PublicKey)
		if err != nil {
			return err
		}
		marks = append(marks, signed.Mark())
	}
	if c.File != "" {
		report, err := verifyFile(c.File, marks)
		if err != nil {
			return err
		}
		if report.Fault != nil {
			return fmt.Errorf("%w: %w", errTampered, report.Fault)
		}
		if first := report.Last.Seq - report.Records - report.Unlinked + 1; report.Records > 0 && first > 1 {
			fmt.Fprintf(a.Stdout, "The file begins with record %d: whether those before it were pruned or cut off, it cannot say.\n", first)
		}
		return printIntact(a, report.Records, report.Last)
	}
	q := adminapi.Query()
	for _, m := range marks {
		q = adminapi.Query("seq", strconv.FormatInt(m.Seq, 10), "hash", m.Hash)
	}
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[admin.AuditVerification](a.Ctx, r, adminapi.Get("/audit/verify", q))
		if err != nil {
			return err
		}
		if !v.OK {
			return fmt.Errorf("%w: %s", errTampered, v.Fault)
		}
		return printIntact(a, v.Records, billing.AuditMark{Seq: v.LastSeq, Hash: v.LastHash})
	})
}

func printIntact(a *cli.Context, records int64, last billing.AuditMark) error {
	_, err := fmt.Fprintf(a.Stdout, "%d records are as they were written; the last is %d, %s\n", records, last.Seq, last.Hash)
	return err
}

func verifyFile(path string, marks []billing.AuditMark) (r audit.Report, err error) {
	f, err := os.Open(path)
	if err != nil {
		return r, err
	}
	defer func() { _ = f.Close() }()
	var v *audit.Verifier
	var last manage.AuditRecord
	lines := json.NewDecoder(bufio.NewReader(f))
	for n := 1; lines.More(); n++ {
		var line manage.AuditRecord
		if err := lines.Decode(&line); err != nil {
			return r, fmt.Errorf("%s: record %d: %w", path, n, err)
		}
		record, err := line.Change()
		if err != nil {
			return r, fmt.Errorf("%s: record %d: %w", path, n, err)
		}
		if v == nil {
			v = audit.NewVerifier(billing.AuditMark{Seq: line.Seq - 1, Hash: line.Previous}, marks...)
		}
		v.Add(record)
		last = line
	}
	if v == nil {
		v = audit.NewVerifier(billing.AuditMark{}, marks...)
	}
	r = v.End(billing.AuditMark{})
	if r.Fault == nil && !last.EndsExport() {
		r.Fault = &audit.Fault{
			Seq: r.Last.Seq + 1, Kind: audit.Missing, Text: "an export ends with its own record, and this one was cut off",
		}
	}
	return r, nil
}

type auditExport struct {
	File   string `arg:"" help:"The file, which must not exist yet." placeholder:"FILE"`
	Format string `help:"${enum}; csv is for spreadsheets, and audit verify does not read it." enum:"jsonl,csv" default:"jsonl"`
}

// Run writes the export.
func (c auditExport) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		f, err := os.OpenFile(c.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		n, err := c.exportTo(a, f, r)
		if err = errors.Join(err, f.Close()); err != nil {
			return errors.Join(err, os.Remove(c.File))
		}
		fmt.Fprintf(a.Stdout, "%d records\n", n)
		return nil
	})
}

// exportTo copies the export and counts its records.
func (c auditExport) exportTo(a *cli.Context, w io.Writer, r adminapi.API) (n int, err error) {
	from, err := r.Open(a.Ctx, adminapi.Get("/audit/export", adminapi.Query("format", c.Format)))
	if err != nil {
		return 0, err
	}
	defer cli.Closing(from)
	out := bufio.NewWriter(w)
	copied := io.TeeReader(from, out)
	lines := bufio.NewReader(copied)
	next := func() error {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if c.Format == "csv" {
		rows := csv.NewReader(copied) // a row may have several lines
		next, n = func() error { _, err := rows.Read(); return err }, -1
	}
	for ; err == nil; n++ {
		err = next()
	}
	if !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("the export is incomplete: %w", err)
	}
	return n - 1, out.Flush()
}

type auditCheckpoint struct {
	Key string `help:"Reference to a signing key: env:NAME or file:/path. Default: the router's own." placeholder:"REF"`
}

// Run prints a checkpoint.
func (c auditCheckpoint) Run(a *cli.Context) error {
	if c.Key == "" {
		return a.Ask(cli.Needs{}, func(r adminapi.API) error {
			signed, err := adminapi.Do[manage.SignedCheckpoint](a.Ctx, r, adminapi.Post("/audit/checkpoint", nil))
			if err != nil {
				return err
			}
			return cli.PrintJSON(a.Stdout, signed)
		})
	}
	key, err := signingKey(a, c.Key)
	if err != nil {
		return err
	}
	return a.WithActions(func(m manage.Actions, _ *config.Config) error {
		signed, err := m.Checkpoint(a.Ctx, key, cli.By(""))
		if err != nil {
			return err
		}
		return cli.PrintJSON(a.Stdout, signed)
	})
}

// signingKey returns the key that a reference leads to.
func signingKey(a *cli.Context, ref string) (audit.SigningKey, error) {
	cfg, err := a.Config()
	if err != nil {
		return audit.SigningKey{}, err
	}
	text, err := app.ReadSecret(a.Ctx, cfg, ref)
	if err != nil {
		return audit.SigningKey{}, err
	}
	return audit.ParseSigningKey(text.Reveal())
}

type auditSigningKey struct{}

// Run prints a new key.
func (auditSigningKey) Run(a *cli.Context) error {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := rand.Read(seed); err != nil {
		return err
	}
	text := base64.StdEncoding.EncodeToString(seed)
	key, err := audit.ParseSigningKey(text)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.Stdout, text)
	fmt.Fprintln(a.Stderr, "Keep it where those who can write to the database cannot read it. Checkpoints are verified with the "+
		"public key "+
		key.Public())
	return nil
}

type auditPrune struct {
	cli.Rehearsal
	Keep   time.Duration `help:"How long records are kept; at least 2160h, which is 90 days." required:"" placeholder:"SPAN"`
	Reason string        `help:"Why." placeholder:"TEXT"`
}

// Run removes old records.
func (c auditPrune) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		done, err := adminapi.Do[admin.Pruned](a.Ctx, r, adminapi.Post("/audit/prune", cli.Fields{
			"keep": c.Keep.String(), "reason": c.Reason,
		}))
		if err == nil {
			_, err = fmt.Fprintf(a.Stdout, "%d records were removed\n", done.Removed)
		}
		return err
	})
}

type auditDestinations struct{ cli.Format }

// Run lists the destinations.
func (c auditDestinations) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.DestinationView](a.Ctx, r, "/audit/destinations", nil, 0)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"NAME", "LAST", "SENT", "WAITING", "SINCE", "FAILURES", "FAILURE"}, Records: all}
		for _, d := range all {
			t.Add(cli.Text(d.Name), cli.Number(d.Seq), cli.Text(cli.Value(d.SentAt)), cli.Number(d.Waiting),
				cli.Text(cli.Value(d.OldestAt)),
				cli.Number(d.Failures), cli.Text(cli.Value(d.Failure)))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

// Audit is "tallyroute audit": the log of who did what. Without a subcommand it runs the
// integrity check, as it did before that had a command of its own.
type Audit struct {
	List         auditList         `cmd:"" help:"Who did what, newest first."`
	Verify       auditVerify       `cmd:"" help:"Check the chain and name the first record that was altered, moved, added or removed."`
	Export       auditExport       `cmd:"" help:"Write every record to a file, as JSON lines for audit verify --file or as CSV."`
	Checkpoint   auditCheckpoint   `cmd:"" help:"Sign the present state of the log, to be kept elsewhere."`
	SigningKey   auditSigningKey   `cmd:"" help:"Create a key that signs checkpoints."`
	Prune        auditPrune        `cmd:"" help:"Remove records that no longer have to be kept."`
	Destinations auditDestinations `cmd:"" help:"Where the log is forwarded, and how far that has got."`
	Ledger       auditLedger       `cmd:"" hidden:"" default:"withargs" help:"The former name of tallyroute integrity."`
}

type auditLedger struct{ finance.Integrity }

// Run checks the ledger, as "tallyroute integrity" does.
func (c auditLedger) Run(a *cli.Context) error {
	fmt.Fprintln(a.Stderr, `tallyroute: the check of the ledger is called "tallyroute integrity" now; running it.`)
	return c.Integrity.Run(a)
}
