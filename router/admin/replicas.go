package admin

import (
	"net/http"

	"tallyroute/billing/manage"
)

// listReplicas is GET /replicas: the routers that hold allowances.
func listReplicas(x *exchange) error {
	all, err := x.Actions.Store.ListReplicas(x.ctx())
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, page[manage.ReplicaView]{Data: viewsOf(all, manage.ViewReplica)})
}

// forgetReplica is POST /replicas/{id}/forget: what a router that will not come
// back had leased can be spent by others.
func forgetReplica(x *exchange) error {
	if err := x.optionalBody(object{}); err != nil {
		return err
	}
	id := x.c.Param("id")
	x.subject = shorten(id)
	n, err := x.Actions.Store.ForgetReplica(x.ctx(), id)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, map[string]any{"id": id, "windows": n})
}

// checkIntegrity is POST /integrity: the proof that the ledger adds up. What it
// finds is the answer, so a breach is no error.
func checkIntegrity(x *exchange) error {
	var c manage.Check
	if err := x.optionalBody(object{"quick": &c.Quick}); err != nil {
		return err
	}
	found, err := x.Actions.CheckIntegrity(x.ctx(), c)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, manage.ViewIntegrity(found))
}
