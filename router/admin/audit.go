package admin

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
)

// auditFilter are the parameters of listAudit.
type auditFilter struct {
	paging
	Object  string `json:"object" doc:"The id of what was changed."`
	Actor   string `json:"actor"`
	Action  string `json:"action" doc:"Such as key.revoke; key. is all that begin so."`
	Outcome string `json:"outcome" enum:"done,denied,failed"`
	Since   string `json:"since" doc:"An instant such as 2026-11-01T00:00:00Z."`
}

// listAudit is GET /audit: who changed what, the newest first.
func listAudit(x *exchange, in auditFilter) (page[manage.AuditRecord], error) {
	none := page[manage.AuditRecord]{}
	limit, err := in.limit()
	if err != nil {
		return none, err
	}
	f := billing.ChangeFilter{Object: in.Object, Actor: in.Actor, Action: in.Action, Outcome: billing.Outcome(in.Outcome), Limit: limit + 1}
	if in.Since != "" {
		if f.Since, err = time.Parse(time.RFC3339, in.Since); err != nil {
			return none, invalid("since", "must be an instant such as 2026-11-01T00:00:00Z")
		}
	}
	if in.Cursor != "" {
		if f.Before, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil || f.Before < 1 {
			return none, errCursor()
		}
	}
	all, err := x.Actions.AuditLog(x.ctx(), f)
	if err != nil {
		return none, err
	}
	list := listOf(all[:min(limit, len(all))], manage.ViewAuditRecord)
	if len(all) > limit {
		list.continueAfter(strconv.FormatInt(all[limit-1].ID, 10))
	}
	return list, nil
}

// AuditVerification is what following the chain of the audit log found.
type AuditVerification struct {
	OK       bool   `json:"ok"`
	Records  int64  `json:"records" doc:"Those that are linked to the one before them."`
	Unlinked int64  `json:"unlinked" doc:"Those that are older than the chain."`
	LastSeq  int64  `json:"last_seq"`
	LastHash string `json:"last_hash"`
	Fault    string `json:"fault,omitempty" doc:"The first place at which the log is not what was written."`
	FaultSeq int64  `json:"fault_seq,omitempty"`
}

// auditMark are the parameters of verifyAudit.
type auditMark struct {
	Seq  *int64 `json:"seq" doc:"Of a record that a checkpoint vouches for."`
	Hash string `json:"hash" doc:"Its hash."`
}

// verifyAudit is GET /audit/verify. A fault is part of the answer, not an error.
func verifyAudit(x *exchange, in auditMark) (AuditVerification, error) {
	var marks []billing.AuditMark
	if in.Seq != nil {
		marks = append(marks, billing.AuditMark{Seq: *in.Seq, Hash: in.Hash})
	}
	r, err := x.Actions.VerifyAudit(x.ctx(), marks...)
	v := AuditVerification{OK: r.Fault == nil, Records: r.Records, Unlinked: r.Unlinked, LastSeq: r.Last.Seq, LastHash: r.Last.Hash}
	if r.Fault != nil {
		v.Fault, v.FaultSeq = r.Fault.Error(), r.Fault.Seq
	}
	return v, err
}

// exportAudit is GET /audit/export: every record as JSON lines.
func exportAudit(x *exchange, _ none) (none, error) {
	out := bufio.NewWriterSize(x.C.Writer, 64<<10)
	x.C.Header("Content-Type", "application/jsonl")
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	err := x.Actions.ExportAudit(x.ctx(), x.by(""), func(r manage.AuditRecord) error { return lines.Encode(r) })
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		x.C.Writer.WriteHeader(http.StatusOK)
	}
	return none{}, err
}

func listDestinations(x *exchange, _ none) (page[manage.DestinationView], error) {
	all, err := x.Actions.Destinations(x.ctx())
	return listOf(all, manage.ViewDestination), err
}

// pruning is the body of pruneAudit.
type pruning struct {
	Keep   duration `json:"keep" required:"true" doc:"How long records are kept; at least 90d."`
	Reason string   `json:"reason"`
}

// Pruned is how many records were removed.
type Pruned struct {
	Removed int64 `json:"removed"`
}

func pruneAudit(x *exchange, in pruning) (Pruned, error) {
	n, err := x.Actions.PruneAudit(x.ctx(), time.Duration(in.Keep), x.by(in.Reason))
	return Pruned{n}, err
}
