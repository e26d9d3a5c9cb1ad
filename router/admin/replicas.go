package admin

import "tallyroute/billing/manage"

// listReplicas is GET /replicas: the routers that hold allowances.
func listReplicas(x *exchange, _ none) (page[manage.ReplicaView], error) {
	all, err := x.Actions.Replicas(x.ctx())
	return listOf(all, manage.ViewReplica), err
}

// Forgotten is a router that will not come back.
type Forgotten struct {
	ID      string `json:"id"`
	Windows int    `json:"windows" doc:"Of budgets from which it had leased something."`
}

// forgetReplica is POST /replicas/{id}/forget: what a router that will not come
// back had leased can be spent by others.
func forgetReplica(x *exchange, _ none) (Forgotten, error) {
	id := x.param("id")
	n, err := x.Actions.ForgetReplica(x.ctx(), id, x.by(""))
	return Forgotten{id, n}, err
}

// integrityBody is the body of checkIntegrity.
type integrityBody struct {
	Quick bool `json:"quick" doc:"Do not read closed months again to compare digests."`
}

// checkIntegrity is POST /integrity: the proof that the ledger adds up. What it
// finds is the answer, so a breach is not an error.
func checkIntegrity(x *exchange, in integrityBody) (manage.IntegrityView, error) {
	found, err := x.Actions.CheckIntegrity(x.ctx(), manage.Check{Quick: in.Quick})
	return manage.ViewIntegrity(found), err
}
