package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"
)

// mostNodes limits the cost of a condition: without loops, each of its nodes is evaluated
// at most once.
const mostNodes = 64

// longestMust limits the length of its text, in bytes.
const longestMust = 1000

// longestText limits the client-supplied texts that conditions see, in bytes.
const longestText = 512

// Facts are the facts available to conditions.
type Facts struct {
	Request RequestFacts `expr:"request"`
	Key     KeyFacts     `expr:"key"`
	Address string       `expr:"address"`
	Time    TimeFacts    `expr:"time"`
}

// RequestFacts are the facts about a request.
type RequestFacts struct {
	Endpoint  string            `expr:"endpoint"`
	Model     string            `expr:"model"`
	Stream    bool              `expr:"stream"`
	Features  []string          `expr:"features"`
	MaxOutput int               `expr:"max_output"` // 0 if the client sets no limit
	BodyBytes int               `expr:"body_bytes"`
	Choices   int               `expr:"choices"`
	Tags      map[string]string `expr:"tags"`
	EndUser   string            `expr:"end_user"`
	Session   string            `expr:"session"`
	Origin    string            `expr:"origin"`
}

// KeyFacts are the facts about a key.
type KeyFacts struct {
	ID          string            `expr:"id"`
	Name        string            `expr:"name"`
	Project     string            `expr:"project"`
	Team        string            `expr:"team"`
	Environment string            `expr:"environment"`
	Tags        map[string]string `expr:"tags"`
}

// TimeFacts are the facts about an instant, in UTC.
type TimeFacts struct {
	Hour    int    `expr:"hour"`
	Minute  int    `expr:"minute"`
	Weekday string `expr:"weekday"`
	Date    string `expr:"date"`
	at      time.Time
}

func timeFacts(at time.Time) TimeFacts { return timeFactsIn(at, time.UTC) }

func timeFactsIn(at time.Time, zone *time.Location) TimeFacts {
	at = at.In(zone)
	return TimeFacts{at.Hour(), at.Minute(), weekdays[at.Weekday()], at.Format(time.DateOnly), at}
}

// zones are the time zones named in a condition; they are loaded when it is compiled.
type zones map[string]*time.Location

// in implements in_zone(time, "Europe/Berlin").
func (z zones) in(args ...any) (any, error) {
	return timeFactsIn(args[0].(TimeFacts).at, z[args[1].(string)]), nil
}

func (c Condition) compile() (*vm.Program, error) { return compileMust(c.Must, &Facts{}) }

// compileMust type-checks a condition against the facts and limits its cost: it has no
// loops, calls only len, lower, in_range and in_zone, and matches only regular expressions
// that are written as literals.
func compileMust(must string, facts any) (*vm.Program, error) {
	if len(must) > longestMust {
		return nil, fmt.Errorf("must have at most %d bytes", longestMust)
	}
	bound := cost{zones: make(zones)}
	program, err := expr.Compile(must, expr.Env(facts), expr.AsBool(), expr.MaxNodes(mostNodes), expr.DisableAllBuiltins(),
		expr.EnableBuiltin("len"), expr.EnableBuiltin("lower"), expr.Patch(&bound),
		expr.Function("in_range", inRange, new(func(string, string) bool)),
		expr.Function("in_zone", bound.zones.in, new(func(TimeFacts, string) TimeFacts)))
	switch {
	case err != nil:
		return nil, fmt.Errorf("is not a condition: %s", strings.Join(strings.Fields(err.Error()), " "))
	case bound.fault != "":
		return nil, fmt.Errorf("must not have %s", bound.fault)
	}
	return program, nil
}

// inRange implements in_range(address, "10.0.0.0/8").
func inRange(args ...any) (any, error) {
	from, err := netip.ParseAddr(args[0].(string))
	p, ok := ParseRange(args[1].(string))
	return err == nil && ok && p.Contains(from.Unmap()), nil
}

// cost looks for expensive expressions, and loads the time zones that are named.
type cost struct {
	fault string
	zones zones
}

// readZone loads a time zone that is written as a literal in the condition.
func (c *cost) readZone(node ast.Node) {
	text, written := node.(*ast.StringNode)
	if !written {
		c.fault = "a time zone that is not written in it"
		return
	}
	zone, err := zoneOf(text.Value)
	if err != nil {
		c.fault = fmt.Sprintf("the time zone %q, which does not exist", text.Value)
		return
	}
	c.zones[text.Value] = zone
}

// Visit implements ast.Visitor.
func (c *cost) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.BinaryNode:
		if _, constant := n.Right.(*ast.StringNode); n.Operator == "matches" && !constant {
			c.fault = "a regular expression that is not written in it"
		}
		if n.Operator == ".." {
			c.fault = "a range"
		}
	case *ast.PredicateNode:
		c.fault = "a loop"
	case *ast.CallNode:
		name, _ := n.Callee.(*ast.IdentifierNode)
		switch {
		case name != nil && name.Value == "in_range":
		case name != nil && name.Value == "in_zone" && len(n.Arguments) == 2:
			c.readZone(n.Arguments[1])
		default:
			c.fault = "a call of anything but len, lower, in_range and in_zone"
		}
	}
}

// holds reports whether a condition is true. A condition that can't be evaluated doesn't
// hold.
func holds(p *vm.Program, f any) bool {
	result, err := expr.Run(p, f)
	is, ok := result.(bool)
	return err == nil && ok && is
}

func short(text string) string { return text[:min(len(text), longestText)] }
