package billing

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Part is what a budget limits of all that its scope uses; "" is all of it. A part has
// names: each has the limit for itself, or those have it together that the budget names.
type Part string

// The parts. Those of persons and tags are limited only where the key, or the token that it
// was exchanged for, says whose a request is: what a client may call as it likes is no limit.
const (
	PartModel      Part = "model"      // by its own name, whoever serves it
	PartCredential Part = "credential" // at a provider: "openai", or "openai/main" where it has several
	PartUser       Part = "user"       // whose identity was exchanged, or else who owns the key
	PartEndUser    Part = "end_user"   // of a temporary key

	partTag = "tag:" // and the name of a tag of the key
)

// MostNames is how many names have a limit of a part for themselves at a time. Those that
// come later share one.
const MostNames = 10_000

// longestName is how many bytes a budget may name a part with.
const longestName = 256

// Tag is the name of the tag by which it parts, if it does.
func (p Part) Tag() (name string, ok bool) { return strings.CutPrefix(string(p), partTag) }

// OfTarget reports a part that is known only once a target has been chosen.
func (p Part) OfTarget() bool { return p == PartModel || p == PartCredential }

// PartWords say what of it is limited: ` of model "gpt-4o"`, ` of each end user`.
func (b Budget) PartWords() string {
	what := strings.ReplaceAll(string(b.Part), "_", " ")
	if tag, ok := b.Part.Tag(); ok {
		what = fmt.Sprintf("value of tag %q", tag)
	}
	switch {
	case b.Part == "":
		return ""
	case b.IsRest():
		return " of every other " + what
	case b.Named != "":
		return fmt.Sprintf(" of %s %q", what, b.Named)
	}
	return " of each " + what
}

// each reports a budget of which each name has a part for itself.
func (b Budget) each() bool { return b.Part != "" && b.Named == "" }

// Below is the budget that counts for one name of a part of b, by which the rows of the ledger
// know it. A budget that names what it is for has one.
func (b Budget) Below(name string) Budget {
	id := b.ID + "~"
	if b.each() {
		sum := sha256.Sum256([]byte(b.ID + "\x00" + name))
		id += hex.EncodeToString(sum[:10])
	}
	return b.below(id, name)
}

// rest ends the id of the budget that names share.
const rest = "~rest"

// Rest is the budget below b that all names share for which there is no room any more.
func (b Budget) Rest() Budget { return b.below(b.ID+rest, "") }

// IsRest reports such a budget.
func (b Budget) IsRest() bool { return strings.HasSuffix(b.ID, rest) }

func (b Budget) below(id, name string) Budget {
	below := b
	below.ID, below.Parent = id, b.ID
	if below.Named == "" {
		below.Named = name
	}
	return below
}

// StoredName is what the database keeps of the name that a budget below another is for:
// nothing of a person.
func (b Budget) StoredName() string {
	if b.Part == PartUser || b.Part == PartEndUser {
		return ""
	}
	return CleanText(b.Named)
}

// CrowdedError says that as many names have a limit of a part for themselves as may. They
// share one then.
type CrowdedError struct{ BudgetID string } // of the one below

// Error names the budget.
func (e *CrowdedError) Error() string {
	return fmt.Sprintf("billing: budget %s: %d names have a limit for themselves, which is the most", e.BudgetID, MostNames)
}

// checkPart finds the faults of what a budget is for.
func (b Budget) checkPart(fault func(field, format string, args ...any)) {
	tag, tagged := b.Part.Tag()
	switch {
	case tagged && (tag == "" || len(tag) > 64 || strings.TrimSpace(tag) != tag || CleanText(tag) != tag):
		fault("part", "tag: must be followed by the name of a tag, of at most 64 bytes")
	case tagged:
	case b.Part != "" && !slices.Contains([]Part{PartModel, PartCredential, PartUser, PartEndUser}, b.Part):
		fault("part", "unknown part %q, must be model, credential, user, end_user or tag:NAME", b.Part)
	}
	switch {
	case b.Named != "" && b.Part == "":
		fault("named", "needs a part")
	case len(b.Named) > longestName || CleanText(b.Named) != b.Named:
		fault("named", "must be plain text of at most %d bytes", longestName)
	}
	if b.Part != "" && b.Action == ActionDowngrade {
		fault("action", "downgrade is for limits of all that is used, not of a part")
	}
}

// line is the budget in the window that an instant falls in.
func (b Budget) line(at time.Time) (HoldLine, error) {
	w, err := b.Window(at)
	return HoldLine{Budget: b, Window: w}, err
}
