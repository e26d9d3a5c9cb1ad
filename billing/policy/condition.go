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

// mostNodes bounds the cost of a condition: without loops, each of its parts is worked
// out at most once.
const mostNodes = 64

// longestMust bounds its text, in bytes.
const longestMust = 1000

// longestText bounds the texts of clients that conditions see, in bytes.
const longestText = 512

// Facts are what conditions see.
type Facts struct {
	Request RequestFacts `expr:"request"`
	Key     KeyFacts     `expr:"key"`
	Address string       `expr:"address"`
	Time    TimeFacts    `expr:"time"`
}

// RequestFacts are what conditions see of a request.
type RequestFacts struct {
	Endpoint  string            `expr:"endpoint"`
	Model     string            `expr:"model"`
	Stream    bool              `expr:"stream"`
	Features  []string          `expr:"features"`
	MaxOutput int               `expr:"max_output"` // 0 where the client gives no bound
	BodyBytes int               `expr:"body_bytes"`
	Choices   int               `expr:"choices"`
	Tags      map[string]string `expr:"tags"`
	EndUser   string            `expr:"end_user"`
	Session   string            `expr:"session"`
	Origin    string            `expr:"origin"`
}

// KeyFacts are what conditions see of a key.
type KeyFacts struct {
	ID          string            `expr:"id"`
	Name        string            `expr:"name"`
	Project     string            `expr:"project"`
	Team        string            `expr:"team"`
	Environment string            `expr:"environment"`
	Tags        map[string]string `expr:"tags"`
}

// TimeFacts are an instant, in UTC.
type TimeFacts struct {
	Hour    int    `expr:"hour"`
	Minute  int    `expr:"minute"`
	Weekday string `expr:"weekday"`
	Date    string `expr:"date"`
}

func timeFacts(at time.Time) TimeFacts {
	at = at.UTC()
	return TimeFacts{at.Hour(), at.Minute(), weekdays[at.Weekday()], at.Format(time.DateOnly)}
}

func (c Condition) compile() (*vm.Program, error) { return compileMust(c.Must, &Facts{}) }

// compileMust type-checks a condition about facts and bounds what it may cost: it has no
// loops, calls nothing but len, lower and in_range, and compares with regular expressions
// only where they are written in it.
func compileMust(must string, facts any) (*vm.Program, error) {
	if len(must) > longestMust {
		return nil, fmt.Errorf("must have at most %d bytes", longestMust)
	}
	var bound cost
	program, err := expr.Compile(must, expr.Env(facts), expr.AsBool(), expr.MaxNodes(mostNodes), expr.DisableAllBuiltins(),
		expr.EnableBuiltin("len"), expr.EnableBuiltin("lower"), expr.Patch(&bound),
		expr.Function("in_range", inRange, new(func(string, string) bool)))
	switch {
	case err != nil:
		return nil, fmt.Errorf("is no condition: %s", strings.Join(strings.Fields(err.Error()), " "))
	case bound.fault != "":
		return nil, fmt.Errorf("must not have %s", bound.fault)
	}
	return program, nil
}

// inRange is in_range(address, "10.0.0.0/8").
func inRange(args ...any) (any, error) {
	from, err := netip.ParseAddr(args[0].(string))
	p, ok := parseRange(args[1].(string))
	return err == nil && ok && p.Contains(from.Unmap()), nil
}

// cost finds what might take long.
type cost struct{ fault string }

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
		if name, ok := n.Callee.(*ast.IdentifierNode); !ok || name.Value != "in_range" {
			c.fault = "a call of anything but len, lower and in_range"
		}
	}
}

// holds reports whether a condition is true. One that cannot be worked out is not.
func holds(p *vm.Program, f any) bool {
	result, err := expr.Run(p, f)
	is, ok := result.(bool)
	return err == nil && ok && is
}

func short(text string) string { return text[:min(len(text), longestText)] }
