package router

import (
	"slices"

	"tallyroute/billing"
	"tallyroute/providers"
)

// route is where a request may go.
type route struct {
	targets []providers.Target
	pinned  bool // the client named the provider
}

// permit finds the targets of the model that was asked for and keeps those
// that the key may use: all of them where the key may use the name that was
// asked for, else those whose own name or model it may use.
func (r *Router) permit(key *billing.Key, asked string) (route, error) {
	targets, pinned, ok := r.Catalogue.Resolve(asked)
	if !ok {
		return route{}, &ModelError{Asked: asked, Nearest: r.Catalogue.Nearest(asked, key.AllowsModel)}
	}
	if key.AllowsModel(asked) {
		return route{targets: targets, pinned: pinned}, nil
	}
	targets = slices.DeleteFunc(slices.Clone(targets), func(t providers.Target) bool {
		return !key.AllowsModel(t.Name()) && !key.AllowsModel(t.Model)
	})
	if len(targets) == 0 {
		return route{}, &ForbiddenModelError{Asked: asked, Allowed: key.Models}
	}
	return route{targets: targets, pinned: pinned}, nil
}
