package policy

import "time"

// Guard is a condition that guards what somebody may do as an administrator: the same
// expressions as those of keys, about other facts. The empty one always holds.
type Guard string

// Acting is what guards see.
type Acting struct {
	Act       ActFacts       `expr:"act"`
	Principal PrincipalFacts `expr:"principal"`
	Login     LoginFacts     `expr:"login"`
	Address   string         `expr:"address"`
	Time      TimeFacts      `expr:"time"`
}

// ActFacts are what is to be done.
type ActFacts struct {
	Operation  string `expr:"operation"` // its id in the OpenAPI document
	Permission string `expr:"permission"`
}

// PrincipalFacts are who is to do it.
type PrincipalFacts struct {
	ID    string `expr:"id"`
	Name  string `expr:"name"`
	Kind  string `expr:"kind"` // user or service
	Email string `expr:"email"`
}

// LoginFacts are how he has shown who he is.
type LoginFacts struct {
	Session    bool     `expr:"session"`     // a login, and no token
	AgeMinutes int      `expr:"age_minutes"` // since the identity provider saw him; of a token NeverSeen
	Strength   []string `expr:"strength"`    // amr and acr
}

// NeverSeen is the age of what is no login.
const NeverSeen = 1 << 30

// Instant are the facts about an instant.
func Instant(at time.Time) TimeFacts { return timeFacts(at) }

// Fault is what is wrong with a guard; "" is nothing.
func (g Guard) Fault() string {
	if g == "" {
		return ""
	}
	if _, err := compileMust(string(g), &Acting{}); err != nil {
		return err.Error()
	}
	return ""
}

// Holds reports whether a guard is true. One that cannot be worked out is not.
func (g Guard) Holds(a *Acting) bool {
	if g == "" {
		return true
	}
	program, err := compileMust(string(g), &Acting{})
	return err == nil && holds(program, a)
}
