package admin

import (
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
)

// personOperations are about what is held of one person. They are POST: names do not
// belong into addresses, which are logged.
func personOperations() []operation {
	return []operation{
		does("exportPerson", post, "/persons/export", "All that is held of an end user or an address: rows, totals, entries of the record "+
			"of access, keys.", exportPerson).slowly().afresh(),
		does("erasePerson", post, "/persons/erase", "Take the name of an end user, or an address, out of what is held.", erasePerson).
			slowly().afresh(),
	}
}

func personRules() map[string]rule {
	return map[string]rule{
		"exportPerson": {rbac.AccessRead, organisation},
		"erasePerson":  {rbac.AccessErase, organisation},
	}
}

// personName is the body of exportPerson.
type personName struct {
	Name string `json:"name" required:"true" doc:"As the client called the end user, the pseudonym, or an address."`
}

// exportPerson is POST /persons/export.
func exportPerson(x *exchange, in personName) (manage.PersonExport, error) {
	return x.Actions.ExportPerson(x.ctx(), in.Name)
}

// personErasure is the body of erasePerson.
type personErasure struct {
	personName
	DryRun bool   `json:"dry_run" doc:"Only say what would be erased."`
	Reason string `json:"reason" required:"true" doc:"For the audit log, without the name."`
}

// erasePerson is POST /persons/erase.
func erasePerson(x *exchange, in personErasure) (manage.PersonErased, error) {
	return x.Actions.ErasePerson(x.ctx(), manage.PersonErasure{Name: in.Name, DryRun: in.DryRun}, x.by(in.Reason))
}
