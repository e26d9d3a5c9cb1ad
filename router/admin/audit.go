package admin

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/access"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
	"tallyroute/router/admin/wire"
	"tallyroute/router/web"
)

// auditFilter holds the parameters of listAudit.
type auditFilter struct {
	wire.Paging
	Object  string `json:"object" doc:"The id of what was changed."`
	Actor   string `json:"actor"`
	Action  string `json:"action" doc:"Such as key.revoke; key. matches every action that begins with it."`
	Outcome string `json:"outcome" enum:"done,denied,failed"`
	Since   string `json:"since" doc:"An instant such as 2026-11-01T00:00:00Z."`
}

// listAudit is GET /audit: who changed what, newest first.
func listAudit(x *exchange, in auditFilter) (wire.Page[manage.AuditRecord], error) {
	none := wire.Page[manage.AuditRecord]{}
	limit, err := in.Most()
	if err != nil {
		return none, err
	}
	f := billing.ChangeFilter{Object: in.Object, Actor: in.Actor, Action: in.Action, Outcome: billing.Outcome(in.Outcome), Limit: limit + 1}
	if in.Since != "" {
		if f.Since, err = time.Parse(time.RFC3339, in.Since); err != nil {
			return none, wire.Invalid("since", "must be an instant such as 2026-11-01T00:00:00Z")
		}
	}
	if in.Cursor != "" {
		if f.Before, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil || f.Before < 1 {
			return none, wire.ErrCursor()
		}
	}
	all, err := x.Actions.AuditLog(x.ctx(), f)
	if err != nil {
		return none, err
	}
	list := wire.ListOf(all[:min(limit, len(all))], manage.ViewAuditRecord)
	if len(all) > limit {
		list.ContinueAfter(strconv.FormatInt(all[limit-1].ID, 10))
	}
	return list, nil
}

// AuditVerification is the result of following the chain of the audit log.
type AuditVerification struct {
	OK       bool   `json:"ok"`
	Records  int64  `json:"records" doc:"The records that are linked to their predecessors."`
	Unlinked int64  `json:"unlinked" doc:"The records that are older than the chain."`
	LastSeq  int64  `json:"last_seq"`
	LastHash string `json:"last_hash"`
	Fault    string `json:"fault,omitempty" doc:"The first record that is not as it was written."`
	FaultSeq int64  `json:"fault_seq,omitempty"`
}

// auditMark holds the parameters of verifyAudit.
type auditMark struct {
	Seq  *int64 `json:"seq" doc:"The number of a record that a checkpoint confirms."`
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

// exportParameters holds the parameters of exportAudit.
type exportParameters struct {
	Format string `json:"format" enum:"jsonl,csv" doc:"jsonl by default; csv has nothing that a spreadsheet runs as a formula."`
}

// exportAudit is GET /audit/export: every record, as JSON lines or for spreadsheets.
func exportAudit(x *exchange, in exportParameters) (none, error) {
	out := bufio.NewWriterSize(x.C.Writer, 64<<10)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	media, write, flush := "application/jsonl", func(r manage.AuditRecord) error { return lines.Encode(r) }, out.Flush
	if in.Format == "csv" {
		rows := csv.NewWriter(out)
		_ = rows.Write(auditColumns()) // into the buffer
		media, write = "text/csv; charset=utf-8", func(r manage.AuditRecord) error { return rows.Write(auditRow(r)) }
		flush = func() error { rows.Flush(); return cmp.Or(rows.Error(), out.Flush()) }
	}
	x.C.Header("Content-Type", media)
	err := x.Actions.ExportAudit(x.ctx(), x.by(""), write)
	if err == nil {
		err = flush()
	}
	if err == nil {
		x.C.Writer.WriteHeader(http.StatusOK)
	}
	return none{}, err
}

func auditColumns() []string {
	return []string{
		"seq", "changed_at", "actor", "role", "source", "action", "object", "outcome", "reason", "detail", "hash", "previous",
	}
}

// auditRow returns the values of a record in the order of auditColumns.
func auditRow(r manage.AuditRecord) []string {
	row := []string{
		strconv.FormatInt(r.Seq, 10), *r.ChangedAt, r.Actor, r.Role, r.Source, r.Action, r.Object, string(r.Outcome), r.Reason,
		string(web.Encode(r.Detail)), r.Hash, r.Previous,
	}
	for i, text := range row {
		row[i] = wire.Inert(text)
	}
	return row
}

// checkpointAudit is POST /audit/checkpoint.
func checkpointAudit(x *exchange, in reasoned) (manage.SignedCheckpoint, error) {
	x.status = http.StatusCreated
	return x.Actions.CheckpointHere(x.ctx(), x.by(in.Reason))
}

func listDestinations(x *exchange, _ none) (wire.Page[manage.DestinationView], error) {
	all, err := x.Actions.Destinations(x.ctx())
	return wire.ListOf(all, manage.ViewDestination), err
}

// pruning is the body of pruneAudit.
type pruning struct {
	rehearsal
	Keep   wire.Duration `json:"keep" required:"true" doc:"How long records are kept; at least 90d."`
	Reason string        `json:"reason"`
}

// Pruned is how many records were removed.
type Pruned struct {
	Removed int64 `json:"removed"`
}

func pruneAudit(x *exchange, in pruning) (Pruned, error) {
	n, err := x.Actions.PruneAudit(x.ctx(), time.Duration(in.Keep), x.by(in.Reason))
	return Pruned{n}, err
}

// accessOperations are about who used which key.
func accessOperations() []operation {
	return []operation{
		does("listAccess", get, "/access", "List who used which key, from where and when, newest first.", listAccess),
		does("eraseAccess", post, "/access/erase", "Remove entries of the record of access for good.", eraseAccess).slowly().afresh(),
		does("listSharedKeys", get, "/shared-keys", "List keys that several workloads use at once, and how to split them.",
			listSharedKeys).slowly(),
		does("listKeyRights", get, "/key-rights", "Compare what keys may do with what they did in 90 days.", listKeyRights).slowly(),
	}
}

func accessRules() map[string]rule {
	return map[string]rule{
		"listAccess":     {rbac.AccessRead, organisation},
		"eraseAccess":    {rbac.AccessErase, organisation},
		"listSharedKeys": {rbac.KeysRead, nil},
		"listKeyRights":  {rbac.KeysRead, nil},
	}
}

// accessFilter selects which requests to include.
type accessFilter struct {
	KeyID    string `json:"key_id"`
	Address  string `json:"address" doc:"One address."`
	Agent    string `json:"user_agent" doc:"The client's User-Agent; must match exactly."`
	Decision string `json:"decision" doc:"allowed, refused, or the code of an error."`
	Since    string `json:"since" doc:"An instant, or a day in the reporting time zone."`
	Until    string `json:"until" doc:"The first day or instant that is not included."`
}

func (x *exchange) accessQuery(in accessFilter) (q access.Query, err error) {
	q = access.Query{KeyID: in.KeyID, Agent: in.Agent, Decision: in.Decision}
	if in.Address != "" {
		if q.Address, err = netip.ParseAddr(in.Address); err != nil {
			return q, wire.Invalid("address", "must be one address, such as 10.1.2.3")
		}
	}
	if q.Since, err = x.moment("since", in.Since); err != nil {
		return q, err
	}
	q.Until, err = x.moment("until", in.Until)
	return q, err
}

// accessParameters holds the parameters of listAccess.
type accessParameters struct {
	wire.Paging
	accessFilter
}

// listAccess is GET /access.
func listAccess(x *exchange, in accessParameters) (list wire.Page[manage.AccessEntry], err error) {
	q, err := x.accessQuery(in.accessFilter)
	if err != nil {
		return list, err
	}
	limit, err := in.Most()
	if err != nil {
		return list, err
	}
	if q.Limit = limit + 1; in.Cursor != "" {
		at, id, ok := strings.Cut(in.Cursor, "_")
		micros, err := strconv.ParseInt(at, 10, 64)
		if err != nil || !ok {
			return list, wire.ErrCursor()
		}
		q.Before = access.Position{At: time.UnixMicro(micros), RequestID: id}
	}
	all, err := x.Actions.Access(x.ctx(), q)
	if err != nil {
		return list, err
	}
	list = wire.ListOf(all[:min(limit, len(all))], manage.ViewAccessEntry)
	if len(all) > limit {
		last := all[limit-1]
		list.ContinueAfter(strconv.FormatInt(last.At.UnixMicro(), 10) + "_" + last.RequestID)
	}
	return list, nil
}

// accessErasure is the body of eraseAccess.
type accessErasure struct {
	rehearsal
	accessFilter
	Reason string `json:"reason"`
}

// Erased is how many entries were removed.
type Erased struct {
	Erased int64 `json:"erased"`
}

// eraseAccess is POST /access/erase.
func eraseAccess(x *exchange, in accessErasure) (Erased, error) {
	q, err := x.accessQuery(in.accessFilter)
	if err != nil {
		return Erased{}, err
	}
	n, err := x.Actions.EraseAccess(x.ctx(), q, x.by(in.Reason))
	return Erased{n}, err
}

// sharedSpan is how far back to look for workloads.
const sharedSpan = 7 * 24 * time.Hour

// sharedParameters holds the parameters of listSharedKeys.
type sharedParameters struct {
	wire.Paging
	KeyID billing.KeyID `json:"key_id" doc:"Only this key."`
	Since string        `json:"since" doc:"An instant, or a day in the reporting time zone; a week ago by default."`
}

// listSharedKeys is GET /shared-keys.
func listSharedKeys(x *exchange, in sharedParameters) (wire.Page[manage.SharedKey], error) {
	since, err := x.moment("since", in.Since)
	if err != nil {
		return wire.Page[manage.SharedKey]{}, err
	}
	since = cmp.Or(since, x.Start.Add(-sharedSpan))
	if in.KeyID != "" {
		if _, err := x.readable(in.KeyID); err != nil {
			return wire.Page[manage.SharedKey]{}, err
		}
	}
	all, err := x.Actions.SharedKeys(x.ctx(), in.KeyID, since,
		func(k *billing.Key) bool { return x.access.May(rbac.KeysRead, placeOf(*k)) })
	if err != nil {
		return wire.Page[manage.SharedKey]{}, err
	}
	return wire.Paged(in.Paging, all, itself[manage.SharedKey], func(k manage.SharedKey) string { return k.KeyID })
}

// readable returns a key if the caller may look at it.
func (x *exchange) readable(id billing.KeyID) (billing.Key, error) {
	k, err := x.Actions.Key(x.ctx(), id)
	if err != nil {
		return k, err
	}
	return k, x.needs(rbac.KeysRead, placeOf(k), &billing.NotFoundError{What: "key", ID: string(id)})
}

// rightsParameters holds the parameters of listKeyRights.
type rightsParameters struct {
	wire.Paging
	KeyID billing.KeyID `json:"key_id" doc:"Only this key."`
	Team  string        `json:"team" doc:"Name or id."`
}

// mostRights is how many keys can be compared at once.
const mostRights = 50

// listKeyRights is GET /key-rights.
func listKeyRights(x *exchange, in rightsParameters) (wire.Page[manage.KeyRights], error) {
	none := wire.Page[manage.KeyRights]{}
	limit, err := in.Most()
	if err != nil {
		return none, err
	}
	if !wire.CursorFor(in.Cursor, "key_") {
		return none, wire.ErrCursor()
	}
	var keys []billing.Key
	more := false
	if in.KeyID != "" {
		k, err := x.readable(in.KeyID)
		if err != nil {
			return none, err
		}
		keys = []billing.Key{k}
	} else if keys, more, err = x.Actions.Keys(x.ctx(), billing.KeyFilter{
		Team: in.Team, Status: "active", After: billing.KeyID(in.Cursor), Limit: min(limit, mostRights), Within: x.within(rbac.KeysRead),
	}); err != nil {
		return none, err
	}
	all, err := x.Actions.Rights(x.ctx(), x.Reports, keys, x.Zone)
	if err != nil {
		return none, err
	}
	list := wire.ListOf(all, func(k manage.KeyRights) manage.KeyRights { return k })
	if more {
		list.ContinueAfter(string(keys[len(keys)-1].ID))
	}
	return list, nil
}
