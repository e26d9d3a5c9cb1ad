package billing

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Part is the part of a scope's usage that a budget limits; "" means all of it. A part
// has names: either each name has the limit to itself, or all the names that the budget
// specifies share it.
type Part string

// The parts. Persons and tags are limited only where the key, or the token that it was
// exchanged for, says whose request it is: a limit on a name that clients choose freely
// would be no limit.
const (
	PartModel      Part = "model"      // by its own name, whichever provider serves it
	PartCredential Part = "credential" // at a provider: "openai", or "openai/main" where it has several
	PartUser       Part = "user"       // the user whose identity was exchanged, or else the owner of the key
	PartEndUser    Part = "end_user"   // of a temporary key

	partTag = "tag:" // followed by the name of a tag of the key
)

// MostNames is the maximum number of names that have a limit of a part to themselves at
// any time. Later names share one.
const MostNames = 10_000

// longestName is the maximum length in bytes of a name that a budget may give for a
// part.
const longestName = 256

// Tag returns the name of the tag that the part goes by, if any.
func (p Part) Tag() (name string, ok bool) { return strings.CutPrefix(string(p), partTag) }

// OfTarget reports whether the part is known only once a target has been chosen.
func (p Part) OfTarget() bool { return p == PartModel || p == PartCredential }

// PartWords returns the part in words: ` of model "gpt-4o"`, ` of each end user`.
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

// each reports whether every name has the limit to itself.
func (b Budget) each() bool { return b.Part != "" && b.Named == "" }

// Below returns the budget that counts for one name of a part of b; the rows of the
// ledger refer to it. A budget with Named set also has one.
func (b Budget) Below(name string) Budget {
	id := b.ID + "~"
	if b.each() {
		sum := sha256.Sum256([]byte(b.ID + "\x00" + name))
		id += hex.EncodeToString(sum[:10])
	}
	return b.below(id, name)
}

// rest is the suffix of the id of the budget that the surplus names share.
const rest = "~rest"

// Rest returns the budget below b that is shared by all names beyond MostNames.
func (b Budget) Rest() Budget { return b.below(b.ID+rest, "") }

// IsRest reports whether b is such a budget.
func (b Budget) IsRest() bool { return strings.HasSuffix(b.ID, rest) }

// MostBelow returns the maximum number of budgets, b among them, that may be below the same
// parent. The one that is shared by all further names has a place in addition to MostNames.
func (b Budget) MostBelow() int {
	if b.IsRest() {
		return MostNames + 1
	}
	return MostNames
}

func (b Budget) below(id, name string) Budget {
	below := b
	below.ID, below.Parent = id, b.ID
	if below.Named == "" {
		below.Named = name
	}
	return below
}

// StoredName returns the name that the database keeps for a budget below another. It
// keeps nothing about a person.
func (b Budget) StoredName() string {
	if b.Part == PartUser || b.Part == PartEndUser {
		return ""
	}
	return CleanText(b.Named)
}

// CrowdedError means that the maximum number of names already have a limit of a part to
// themselves. Further names share one.
type CrowdedError struct{ BudgetID string } // of the one below

// Error names the budget.
func (e *CrowdedError) Error() string {
	return fmt.Sprintf("billing: budget %s: %d names have a limit for themselves, which is the most", e.BudgetID, MostNames)
}

// checkPart finds the faults in the part that a budget applies to.
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

// Line returns the budget in the window that an instant falls in.
func (b *Budget) Line(at time.Time) (HoldLine, error) {
	w, err := b.Window(at)
	return HoldLine{Budget: *b, Window: w}, err
}
