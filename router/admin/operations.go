package admin

import (
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/policy"
	"tallyroute/router/admin/wire"
	"tallyroute/router/web"
)

// base is the prefix of all operations' paths.
const base = "/admin/v1"

var pathParameter = regexp.MustCompile(`:([a-z]+)`)

// document returns the OpenAPI 3.1 document of the operations, made from the types that
// requests are read into and answers are written from.
func document(operations []operation, version string) wire.Schema {
	// The same type may be read and written; the rules for the two differ.
	all := &wire.Schemas{ByName: map[string]wire.Schema{}, Types: map[string]reflect.Type{}}
	inputs := &wire.Schemas{ByName: all.ByName, Types: all.Types, Closed: true}
	paths := map[string]wire.Schema{}
	for _, o := range operations {
		path := base + pathParameter.ReplaceAllString(o.path, "{$1}")
		if paths[path] == nil {
			paths[path] = wire.Schema{}
		}
		paths[path][strings.ToLower(o.method)] = o.describe(inputs, all)
	}
	failure := all.Plain(reflect.TypeFor[web.ErrorAnswer]())
	return wire.Schema{
		"openapi": "3.1.0",
		"info": wire.Schema{
			"title": "Tallyroute admin API", "version": version,
			"description": "What operators can do: keys, teams, projects, budgets, spend, months of the ledger and replicas. " +
				"Money is a decimal text in US dollars; instants are RFC 3339. Lists have pages: next_cursor is the cursor of " +
				"the next one.",
		},
		"servers":  []wire.Schema{{"url": "/"}},
		"security": []wire.Schema{{"token": []string{}}},
		"paths":    paths,
		"components": wire.Schema{
			"schemas": all.ByName,
			"responses": wire.Schema{"Error": wire.Schema{
				"description": "An error. Its code and what to do are explained at doc_url.",
				"content":     wire.Schema{"application/json": wire.Schema{"schema": failure}},
			}},
			"securitySchemes": wire.Schema{"token": wire.Schema{
				"type": "http", "scheme": "bearer", "description": "The admin token, made by: tallyroute admin token",
			}},
		},
	}
}

func (o operation) describe(inputs, outputs *wire.Schemas) wire.Schema {
	d := wire.Schema{"operationId": o.id, "summary": o.summary, "tags": []string{strings.Split(o.path, "/")[1]}}
	parameters := []wire.Schema{}
	for _, m := range pathParameter.FindAllStringSubmatch(o.path, -1) {
		parameters = append(parameters, wire.Schema{"name": m[1], "in": "path", "required": true, "schema": wire.Schema{"type": "string"}})
	}
	if o.inQuery() {
		for _, f := range wire.FieldsOf(o.in) {
			p := wire.Schema{"name": f.Name, "in": "query", "required": f.Required, "schema": inputs.Of(f.Kind, wire.Field{Enum: f.Enum})}
			if f.Doc != "" {
				p["description"] = f.Doc
			}
			parameters = append(parameters, p)
		}
	} else if len(wire.FieldsOf(o.in)) > 0 {
		d["requestBody"] = wire.Schema{
			"required": wire.HasRequired(o.in), "content": wire.Schema{"application/json": wire.Schema{"schema": inputs.Plain(o.in)}},
		}
	}
	parameters = append(parameters, o.headers()...)
	if len(parameters) > 0 {
		d["parameters"] = parameters
	}
	responses := wire.Schema{"default": wire.Schema{"$ref": "#/components/responses/Error"}}
	for _, status := range o.statuses {
		content := wire.Schema{}
		for _, media := range o.media {
			content[media] = wire.Schema{}
		}
		if o.out != nil {
			schema := outputs.Plain(o.out)
			if o.rehearses() && status == http.StatusOK {
				schema = wire.Schema{"anyOf": []wire.Schema{schema, outputs.Plain(reflect.TypeFor[Rehearsal]())}}
			}
			content = wire.Schema{"application/json": wire.Schema{"schema": schema}}
		}
		responses[strconv.Itoa(status)] = wire.Schema{"description": http.StatusText(status), "content": content}
	}
	d["responses"] = responses
	return d
}

// headers describes the headers that the operation takes.
func (o operation) headers() (list []wire.Schema) {
	header := func(name, about string) {
		list = append(list, wire.Schema{"name": name, "in": "header", "schema": wire.Schema{"type": "string"}, "description": about})
	}
	if o.matches {
		header("If-Match", "The ETag of what the change is based on; if it has changed since, the answer is 412.")
	}
	if o.method != get && !o.opened {
		header("Idempotency-Key", "A name for the request: sent again under it, it is carried out once and gets the same answer for a day.")
	}
	return list
}

// snippets returns examples of a first call with a new key. They take the key from the
// environment, so that it does not end up in a file or a shell history.
func snippets(baseURL string, k *billing.Key) map[string]string {
	model := "auto"
	if len(k.Models) > 0 && !strings.HasSuffix(k.Models[0], "*") {
		model = k.Models[0]
	}
	out := make(map[string]string, len(templates))
	fill := strings.NewReplacer("{base}", baseURL, "{model}", model)
	for language, text := range templates {
		out[language] = fill.Replace(text)
	}
	return out
}

var templates = map[string]string{
	"curl": `curl {base}/chat/completions -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" ` +
		`-d '{"model":"{model}","messages":[{"role":"user","content":"hi"}]}'`,
	"python": `from openai import OpenAI
client = OpenAI(base_url="{base}")  # reads OPENAI_API_KEY
print(client.chat.completions.create(model="{model}", messages=[{"role": "user", "content": "hi"}]).choices[0].message.content)`,
	"node": `import OpenAI from "openai";
const client = new OpenAI({ baseURL: "{base}" }); // reads OPENAI_API_KEY
const answer = await client.chat.completions.create({ model: "{model}", messages: [{ role: "user", content: "hi" }] });
console.log(answer.choices[0].message.content);`,
	"go": `config := openai.DefaultConfig(os.Getenv("OPENAI_API_KEY")) // github.com/sashabaranov/go-openai
config.BaseURL = "{base}"
answer, err := openai.NewClientWithConfig(config).CreateChatCompletion(ctx, openai.ChatCompletionRequest{
	Model:    "{model}",
	Messages: []openai.ChatCompletionMessage{{Role: "user", Content: "hi"}},
})`,
}

const (
	get    = http.MethodGet
	post   = http.MethodPost
	put    = http.MethodPut
	patch  = http.MethodPatch
	remove = http.MethodDelete
)

// operations is the table of everything that the API does. A route that is not in it does not
// exist, and the OpenAPI document contains all that are.
func operations() []operation {
	return slices.Concat(keyOperations(), accessOperations(), personOperations(), ownerOperations(), ledgerOperations(),
		principalOperations(),
		loginOperations(), alertOperations(), incidentOperations(), governanceOperations(),
		anomalyOperations(),
		memberOperations(), ceilingOperations(), upstreamOperations(),
		leaverOperations())
}

// keyOperations are about virtual keys.
func keyOperations() []operation {
	return []operation{
		does("createKey", post, "/keys", "Make a virtual key. The secret is in this answer and nowhere else.", createKey).
			createsOrFinds().byName(),
		does("listKeys", get, "/keys", "List keys.", listKeys),
		does("getKey", get, "/keys/:id", "A key with every budget that binds it and what is used of it.", getKey),
		does("changeKey", patch, "/keys/:id", "Change the members that are there.", changeKey).versioned(),
		does("revokeKey", post, "/keys/:id/revoke", "Revoke a key for good. Doing it twice changes nothing.",
			endUse(manage.Actions.RevokeKey)).versioned().urgently(),
		does("disableKey", post, "/keys/:id/disable", "Refuse a key until it is enabled. Doing it twice changes nothing.",
			endUse(manage.Actions.DisableKey)).versioned().urgently(),
		does("enableKey", post, "/keys/:id/enable", "Let a key be used again that was disabled or stopped, or whose requests ran away.",
			endUse(manage.Actions.EnableKey)).versioned(),
		does("archiveKey", post, "/keys/:id/archive", "Revoke a key and destroy its secrets; what it spent stays.",
			endUse(manage.Actions.ArchiveKey)).versioned().urgently(),
		does("rotateKey", post, "/keys/:id/rotate", "Give a key a new secret; once under an Idempotency-Key.",
			rotateKey).createsOrFinds().byName().afresh(),
		does("listKeyVersions", get, "/keys/:id/versions", "The secrets of a key and how they were used in the last hour.", listVersions),
		does("handOverKey", post, "/keys/:id/hand-over", "Make a link that shows a new secret once.", handOverKey).creates().afresh(),
		does("deliverKey", put, "/keys/:id/sink", "Deliver the secrets of a key to a sink: a new one soon, and whenever it is due.",
			deliverKey).afresh(),
		does("undeliverKey", remove, "/keys/:id/sink", "Deliver the secrets of a key no more, and delete the copy.", undeliverKey),
		does("listSinks", get, "/sinks", "List where secrets of keys are delivered, and which deliveries have failed.", listSinks),
		does("topUpKey", post, "/keys/:id/top-up", "Add to the budget of a key that is spent once.", topUpKey),
		does("findKey", post, "/keys/find", "Say whose key a secret is.", findKey),
		does("revokeSecret", post, "/keys/revoke", "Revoke the key of a secret that leaked.", revokeSecret).urgently(),
		does("getKeyPolicy", get, "/keys/:id/policy", "What a key may do, and the policies above it.", getPolicy(policy.Key)),
		does("setKeyPolicy", put, "/keys/:id/policy", "Replace the policy of a key.", setPolicy(policy.Key)).versioned(),
		does("tryPolicy", post, "/keys/:id/policy/try", "Say whether a key may make a request, and which rule refuses it.", tryPolicy),
	}
}

// ownerOperations are about teams, projects and their budgets.
func ownerOperations() []operation {
	return []operation{
		does("getTeamPolicy", get, "/teams/:id/policy", "What the keys of a team may do.", getPolicy(policy.Team)),
		does("setTeamPolicy", put, "/teams/:id/policy", "Replace the policy of a team.", setPolicy(policy.Team)).versioned(),
		does("getProjectPolicy", get, "/projects/:id/policy", "What the keys of a project may do.", getPolicy(policy.Project)),
		does("setProjectPolicy", put, "/projects/:id/policy", "Replace the policy of a project.", setPolicy(policy.Project)).versioned(),
		does("listTeams", get, "/teams", "List teams.", listTeams),
		does("createTeam", post, "/teams", "Make a team with its first project.", createTeam).createsOrFinds(),
		does("changeTeam", patch, "/teams/:id", "Rename a team, by its id or name, or change its cost center or owner.", changeTeam).
			versioned(),
		does("getTeam", get, "/teams/:id", "A team, by its id or name.", getTeam),
		does("archiveTeam", post, "/teams/:id/archive", "End a team with its projects and keys; what they spent stays.", archiveTeam).
			versioned(),
		does("listProjects", get, "/projects", "List projects.", listProjects),
		does("createProject", post, "/projects", "Make a project, and its team if that is new.", createProject).createsOrFinds(),
		does("changeProject", patch, "/projects/:id", "Rename a project, or move it to another team.", changeProject).versioned(),
		does("getProject", get, "/projects/:id", "A project.", getProject),
		does("archiveProject", post, "/projects/:id/archive", "End a project with its keys; what they spent stays.", archiveProject).
			versioned(),
		does("listBudgets", get, "/budgets", "List budgets.", listBudgets),
		does("setBudget", post, "/budgets", "Make a budget, or change the one with this id or of the same scope and period.", setBudget).
			createsOrFinds().versioned(),
		does("changeBudget", patch, "/budgets/:id", "Change the members of a budget that are there.", changeBudget).versioned(),
		does("getBudget", get, "/budgets/:id", "A budget as it was set, and what is used of it.", getBudget),
		does("listBudgetNames", get, "/budgets/:id/names", "List the names that a budget for a part limits, and what each has used.",
			listBudgetNames),
		does("resetBudget", post, "/budgets/:id/reset", "Reset what was used in the current period to zero. It needs a reason.",
			resetBudget).versioned(),
		does("raiseBudget", post, "/budgets/:id/raise", "Raise the limits of a budget for a time. It needs a reason.", raiseBudget).
			versioned(),
		does("removeBudget", remove, "/budgets/:id", "Remove a budget: it no longer applies.", removeBudget).versioned(),
	}
}

// ledgerOperations are about what was spent and who did what.
func ledgerOperations() []operation {
	return []operation{
		does("listAudit", get, "/audit", "List who did what, newest first.", listAudit),
		does("verifyAudit", get, "/audit/verify", "Follow the chain of the audit log. A fault is part of the answer, not an error.",
			verifyAudit).slowly(),
		does("listDestinations", get, "/audit/destinations", "To whom the audit log is sent, and how far that has come.", listDestinations),
		does("pruneAudit", post, "/audit/prune", "Remove records of the audit log that are older than they have to be kept.", pruneAudit).
			slowly().afresh(),
		does("checkpointAudit", post, "/audit/checkpoint", "Sign the audit log as it is now, to be kept elsewhere. The router needs a key.",
			checkpointAudit).creates().slowly().afresh(),
		does("exportAudit", get, "/audit/export", "Every record of the audit log as JSON lines or CSV, oldest first.", exportAudit).
			streaming("application/jsonl", "text/csv").slowly().afresh(),
		does("getSpend", get, "/spend", "What was spent, by one or two dimensions.", getSpend).slowly(),
		does("getUsage", get, "/usage", "Requests, refusals, errors, latency and peaks of each hour.", getUsage).slowly(),
		does("getPriceChanges", get, "/prices", "Which prices changed, and what usage costs at the old and new ones.", getPriceChanges).
			slowly(),
		does("adjustSpend", post, "/spend/adjustments", "Correct what a key was charged.", adjustSpend).creates().afresh(),
		does("listPeriods", get, "/periods", "List the months of the ledger, newest first.", listPeriods),
		does("closePeriod", post, "/periods/:month/close", "Close a month: it takes no more rows.", closePeriod),
		does("reopenPeriod", post, "/periods/:month/reopen", "Open a closed month again.", reopenPeriod),
		does("getPeriodRows", get, "/periods/:month/rows",
			"The rows of a closed month as JSON lines, with their SHA-256 in the trailer X-Tallyroute-Sha256.", archiveRows).
			streaming("application/jsonl").slowly().afresh(),
		does("archivePeriod", post, "/periods/:month/archive", "Drop the rows of a closed month that are safe in a file.", archivePeriod).
			slowly(),
		does("reprice", post, "/prices/reprice", "Cost what was used by the prices of today, and post the differences.",
			reprice).slowly().afresh(),
		does("listReplicas", get, "/replicas", "List the routers that hold allowances.", listReplicas),
		does("forgetReplica", post, "/replicas/:id/forget", "Return the leases of a router that will not come back.", forgetReplica),
		does("listRejects", get, "/rejects", "List the rows that the ledger refused, oldest first.", listRejects),
		does("bookReject", post, "/rejects/:request/book", "Book the rows of a request that the ledger refused.", bookReject),
		does("listEvents", get, "/events", "List overruns, disputes, rejections, breaches and denials, newest first.", listEvents),
		does("checkIntegrity", post, "/integrity", "Prove that the ledger adds up. A breach is part of the answer, not an error.",
			checkIntegrity).
			slowly(),
		does("getHealth", get, "/health", "How the providers have been behaving.", getHealth),
		does("getDocument", get, "/openapi.json", "This document.", getDocument),
	}
}

// principalOperations are about principals.
func principalOperations() []operation {
	return []operation{
		does("listPrincipals", get, "/principals", "List those who administer, with what they may do.", listPrincipals),
		does("createPrincipal", post, "/principals", "Create a user or a service account. It has no permissions until a role is granted.",
			createPrincipal).creates().afresh(),
		does("disablePrincipal", post, "/principals/:id/disable", "Refuse all tokens of a principal until it is enabled.",
			disablePrincipal),
		does("enablePrincipal", post, "/principals/:id/enable", "Let a principal that was disabled act again.", enablePrincipal).afresh(),
		does("grantRole", post, "/principals/:id/grants", "Give a principal a role in the organisation, a team or a project.", grantRole).
			creates().afresh(),
		does("revokeRole", remove, "/principals/:id/grants/:grant", "Take a role away.", revokeRole).afresh(),
		does("createAdminToken", post, "/principals/:id/tokens", "Make a token. The secret is in this answer and nowhere else.",
			createAdminToken).creates().afresh(),
		does("endAdminToken", remove, "/principals/:id/tokens/:token", "End a token.", endAdminToken),
		does("tryGrants", post, "/principals/:id/try", "Say whether the grants of a principal allow an act, and which condition does not.",
			tryGrants),
		does("listRoles", get, "/roles", "List the roles and their permissions.", listRoles),
		does("whoAmI", get, "/me", "Say who asks, and what he may do.", whoAmI),
	}
}

func getHealth(x *exchange, _ none) (Health, error) { return x.Health(), nil }

func getDocument(x *exchange, _ none) (wire.Schema, error) {
	return document(x.operations, x.Version), nil
}

// Health is how the providers have been behaving.
type Health struct {
	Data []TargetHealth `json:"data"`
}

// TargetHealth is how one provider, or one model at a provider, has been behaving.
type TargetHealth struct {
	Name         string  `json:"name"`
	Status       string  `json:"status" enum:"healthy,trial,open,unknown"`
	Cause        string  `json:"cause,omitempty"`
	RetryAfterMS float64 `json:"retry_after_ms,omitempty"`
}
