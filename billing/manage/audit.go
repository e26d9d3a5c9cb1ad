package manage

import (
	"cmp"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/audit"
)

// note returns the audit record of a change, which stores write together with the change.
func (a Actions) note(by By, action, object string) *billing.Change {
	return &billing.Change{
		At: a.now(), Actor: cmp.Or(by.Actor, "unknown"), Role: by.Role, Source: by.Source, Action: action, Object: object,
		Reason: strings.TrimSpace(by.Reason), Claim: by.Claim, DryRun: by.DryRun,
	}
}

// differences returns the fields of a view that have changed, as "old → new".
func differences(before, after any) map[string]string {
	old, fresh := membersOf(before), membersOf(after)
	different := make(map[string]string)
	for name := range old {
		if _, stays := fresh[name]; !stays {
			fresh[name] = nil // the field is omitted when empty
		}
	}
	for name, is := range fresh {
		if was := old[name]; string(was) != string(is) && name != "version" && name != "status" {
			different[name] = plain(was) + " → " + plain(is)
		}
	}
	return different
}

func membersOf(view any) (members map[string]json.RawMessage) {
	if text, err := json.Marshal(view); err == nil {
		_ = json.Unmarshal(text, &members) // Marshal's own output
	}
	return members
}

// plain returns a value without the quotes of a string; for something with a name and an
// id, it returns both.
func plain(raw json.RawMessage) string {
	var named Named
	if json.Unmarshal(raw, &named) == nil && named.ID != "" {
		return named.Name + " (" + named.ID + ")"
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return cmp.Or(text, "none")
	}
	return cmp.Or(string(raw), "none")
}

// AuditLog lists who did what, newest first.
func (a Actions) AuditLog(ctx context.Context, f billing.ChangeFilter) ([]billing.Change, error) {
	if err := noSecret(f.Object); err != nil {
		return nil, err
	}
	return a.Store.ListChanges(ctx, f)
}

// VerifyAudit verifies the hash chain of the audit log. Marks are the entries that
// checkpoints vouch for.
func (a Actions) VerifyAudit(ctx context.Context, marks ...billing.AuditMark) (audit.Report, error) {
	var v *audit.Verifier
	var last billing.AuditMark
	err := a.Store.ReadAudit(ctx, func(e billing.AuditEnds) {
		v, last = audit.NewVerifier(e.Before, marks...), e.Last
	}, func(c billing.Change) error {
		v.Add(c)
		return nil
	})
	if err != nil {
		return audit.Report{}, err
	}
	return v.End(last), nil
}

// exportAction is the action of the record that every export ends with.
const exportAction = "audit.export"

// ExportAudit passes on every chained record, oldest first. The export itself is recorded
// too, as the last of them.
func (a Actions) ExportAudit(ctx context.Context, by By, each func(AuditRecord) error) error {
	note := a.note(by, exportAction, "")
	if err := a.Store.Record(ctx, note); err != nil {
		return err
	}
	var previous string
	return a.Store.ReadAudit(ctx, func(e billing.AuditEnds) { previous = e.Before.Hash }, func(c billing.Change) error {
		if c.Seq == 0 || c.Seq > note.Seq {
			return nil
		}
		record := ViewAuditRecord(c)
		record.Previous, previous = previous, c.Hash
		return each(record)
	})
}

// EndsExport reports whether an export may end with this record: what ends with another one
// was cut off.
func (r AuditRecord) EndsExport() bool { return r.Action == exportAction }

// PruneAudit removes records older than keep, which must be at least MinAuditRetention.
func (a Actions) PruneAudit(ctx context.Context, keep time.Duration, by By) (int64, error) {
	if keep < MinAuditRetention {
		return 0, invalid("keep", "must be at least %d days", MinAuditRetention/(24*time.Hour))
	}
	before := a.now().Add(-keep)
	if err := a.kept(ctx, "audit_log", before); err != nil {
		return 0, err
	}
	note := a.note(by, "audit.prune", "")
	note.Detail = map[string]string{"before": before.Format(time.RFC3339)}
	return a.Store.PruneAudit(ctx, before, note)
}

// MinAuditRetention is the minimum time for which records are kept.
const MinAuditRetention = 90 * 24 * time.Hour

// Checkpoint signs the current state of the audit log.
func (a Actions) Checkpoint(ctx context.Context, key audit.SigningKey, by By) (audit.Checkpoint, error) {
	report, err := a.VerifyAudit(ctx)
	switch {
	case err != nil:
		return audit.Checkpoint{}, err
	case report.Fault != nil:
		return audit.Checkpoint{}, report.Fault
	}
	ledger, err := a.Store.Setting(ctx, billing.LedgerSetting, billing.NewID("ledger_"))
	if err != nil {
		return audit.Checkpoint{}, err
	}
	note := a.note(by, "audit.checkpoint", "")
	note.Detail = map[string]string{"seq": strconv.FormatInt(report.Last.Seq, 10)}
	return key.Sign(ledger, report.Last, a.now()), a.Store.Record(ctx, note)
}

// SignedCheckpoint is a signed statement of what the audit log was at an instant.
type SignedCheckpoint = audit.Checkpoint

// ParseAuditKey parses a key for signing checkpoints.
func ParseAuditKey(text string) (*audit.SigningKey, error) {
	key, err := audit.ParseSigningKey(text)
	return &key, err
}

// CheckpointHere signs the audit log with this router's key.
func (a Actions) CheckpointHere(ctx context.Context, by By) (SignedCheckpoint, error) {
	if a.AuditKey == nil {
		return SignedCheckpoint{}, &billing.ConflictError{Detail: "no key signs checkpoints here: set audit_signing_key, or run " +
			"tallyroute audit checkpoint --key on the host"}
	}
	return a.Checkpoint(ctx, *a.AuditKey, by)
}

// AuditRecord is a record of the audit log in JSON.
type AuditRecord struct {
	Seq       int64             `json:"seq" doc:"Its place in the chain; 0 if it is older than that."`
	ChangedAt *string           `json:"changed_at"`
	Actor     string            `json:"actor"`
	Role      string            `json:"role"`
	Source    string            `json:"source" doc:"The address or host that it came from."`
	Action    string            `json:"action"`
	Object    string            `json:"object"`
	Outcome   billing.Outcome   `json:"outcome" enum:"done,denied,failed"`
	Reason    string            `json:"reason"`
	Detail    map[string]string `json:"detail"`
	Hash      string            `json:"hash"`
	Previous  string            `json:"previous,omitempty" doc:"In an export, the hash of the previous record."`
}

// ViewAuditRecord converts a record to JSON form.
func ViewAuditRecord(c billing.Change) AuditRecord {
	if c.Detail == nil {
		c.Detail = map[string]string{}
	}
	at := c.At.UTC().Format(time.RFC3339Nano)
	return AuditRecord{c.Seq, &at, c.Actor, c.Role, c.Source, c.Action, c.Object, c.Outcome, c.Reason, c.Detail, c.Hash, ""}
}

// Change converts a line of an export back to the record.
func (r AuditRecord) Change() (billing.Change, error) {
	if r.ChangedAt == nil {
		return billing.Change{}, invalid("changed_at", "must be there")
	}
	at, err := time.Parse(time.RFC3339Nano, *r.ChangedAt)
	if err != nil {
		return billing.Change{}, invalid("changed_at", "must be an instant")
	}
	return billing.Change{
		At: at, Actor: r.Actor, Role: r.Role, Source: r.Source, Action: r.Action, Object: r.Object, Outcome: r.Outcome, Reason: r.Reason,
		Detail: r.Detail, Seq: r.Seq, Hash: r.Hash,
	}, nil
}
