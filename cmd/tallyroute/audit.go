package main

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/audit"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/providers/secret"
)

type auditList struct {
	format
	Object  string        `help:"The id of what was changed." placeholder:"ID"`
	Actor   string        `help:"Who changed it, such as cli:ann." placeholder:"NAME"`
	Action  string        `help:"Such as key.revoke; key. is all that begin so." placeholder:"ACTION"`
	Outcome string        `help:"${enum}." enum:"done,denied,failed," default:"" placeholder:"OUTCOME"`
	Since   time.Duration `help:"How far back, such as 24h."`
	Limit   int           `help:"How many; at most 1000." default:"100"`
}

// Run lists the records.
func (c auditList) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		f := billing.ChangeFilter{Object: c.Object, Actor: c.Actor, Action: c.Action, Outcome: billing.Outcome(c.Outcome), Limit: c.Limit}
		if c.Since > 0 {
			f.Since = time.Now().Add(-c.Since)
		}
		all, err := m.AuditLog(a.ctx, f)
		if err != nil {
			return err
		}
		t := table{header: []string{"CHANGED", "ACTOR", "ROLE", "FROM", "ACTION", "OBJECT", "OUTCOME", "REASON", "WHAT"}}
		views := []manage.AuditRecord{}
		for _, one := range all {
			t.add(text(timestamp(one.At)), text(one.Actor), text(one.Role), text(one.Source), text(one.Action), text(one.Object),
				text(string(one.Outcome)), text(one.Reason), text(detailText(one.Detail)))
			views = append(views, manage.ViewAuditRecord(one))
		}
		t.records = views
		return t.write(a.stdout, c.Output)
	})
}

type auditVerify struct {
	File       string `help:"Verify an export instead of the database." placeholder:"FILE"`
	Checkpoint string `help:"A checkpoint that was kept." placeholder:"FILE"`
	PublicKey  string `help:"Of the key that signed the checkpoint." placeholder:"BASE64"`
}

var errTampered = errors.New("the audit log is not what was written")

// Run says what the log is, and fails where it is not what was written.
func (c auditVerify) Run(a *cli) error {
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
	var report audit.Report
	var err error
	if c.File != "" {
		report, err = verifyFile(c.File, marks)
	} else {
		err = a.withActions(func(m manage.Actions, _ *config.Config) (err error) {
			report, err = m.VerifyAudit(a.ctx, marks...)
			return err
		})
	}
	if err != nil {
		return err
	}
	if report.Fault != nil {
		return fmt.Errorf("%w: %w", errTampered, report.Fault)
	}
	fmt.Fprintf(a.stdout, "%d records are as they were written; the last is %d, %s\n", report.Records, report.Last.Seq, report.Last.Hash)
	return nil
}

func verifyFile(path string, marks []billing.AuditMark) (r audit.Report, err error) {
	f, err := os.Open(path)
	if err != nil {
		return r, err
	}
	defer func() { _ = f.Close() }()
	var v *audit.Verifier
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
	}
	if v == nil {
		v = audit.NewVerifier(billing.AuditMark{}, marks...)
	}
	return v.End(billing.AuditMark{}), nil
}

type auditExport struct {
	File string `arg:"" help:"The file, which must not exist yet." placeholder:"FILE"`
}

// Run writes the export.
func (c auditExport) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		f, err := os.OpenFile(c.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		out, n := bufio.NewWriter(f), 0
		lines := json.NewEncoder(out)
		lines.SetEscapeHTML(false)
		err = m.ExportAudit(a.ctx, by(""), func(r manage.AuditRecord) error { n++; return lines.Encode(r) })
		if err == nil {
			err = out.Flush()
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return errors.Join(err, os.Remove(c.File))
		}
		fmt.Fprintf(a.stdout, "%d records\n", n)
		return nil
	})
}

type auditCheckpoint struct {
	Key string `help:"Reference to the signing key: env:NAME or file:/path." required:"" placeholder:"REF"`
}

// Run prints a checkpoint.
func (c auditCheckpoint) Run(a *cli) error {
	text, err := secret.Resolve(a.ctx, c.Key)
	if err != nil {
		return err
	}
	key, err := audit.ParseSigningKey(text.Reveal())
	if err != nil {
		return err
	}
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		signed, err := m.Checkpoint(a.ctx, key, by(""))
		if err != nil {
			return err
		}
		return printJSON(a.stdout, signed)
	})
}

type auditSigningKey struct{}

// Run prints a fresh key.
func (auditSigningKey) Run(a *cli) error {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := rand.Read(seed); err != nil {
		return err
	}
	text := base64.StdEncoding.EncodeToString(seed)
	key, err := audit.ParseSigningKey(text)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, text)
	fmt.Fprintln(a.stderr, "Keep it where those who can write to the database cannot read it. Checkpoints are verified with the "+
		"public key "+
		key.Public())
	return nil
}

type auditPrune struct {
	Keep   time.Duration `help:"How long records are kept; at least 2160h, which is 90 days." required:"" placeholder:"SPAN"`
	Reason string        `help:"Why." placeholder:"TEXT"`
}

// Run removes old records.
func (c auditPrune) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		n, err := m.PruneAudit(a.ctx, c.Keep, by(c.Reason))
		if err == nil {
			_, err = fmt.Fprintf(a.stdout, "%d records were removed\n", n)
		}
		return err
	})
}
