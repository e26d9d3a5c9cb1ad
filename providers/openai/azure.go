package openai

import (
	"net/url"
	"strings"

	"tallyroute/providers"
)

// Azure returns the adapter for Azure OpenAI and the models of Azure AI Foundry: the OpenAI
// format at other paths, with an API version.
func Azure() providers.Adapter {
	d := dialect{path: azurePath, rewrite: azureRequest}
	return providers.Adapter{Chat: completions{d}, Embed: embeddings{dialect: d}, Quirks: providers.Quirks{Members: members()}}
}

// azurePath returns the path of an operation below a base URL, which may end in the common
// part of all paths or be the bare host. Quirks.APIVersion decides the form: with a dated
// version, such as 2024-10-21, the path names a deployment; with "", "v1" or "preview", the
// deployment is the model of the unversioned API. Quirks.Path takes precedence over both.
func azurePath(t providers.Target, what string) string {
	version := t.Quirks.APIVersion
	dated := version != "" && version != "v1" && version != "preview"
	query := ""
	if version != "" && version != "v1" {
		query = "?api-version=" + url.QueryEscape(version)
	}
	if t.Quirks.Path != "" {
		if before, ok := strings.CutSuffix(t.Quirks.Path, completionsPath); ok {
			return before + what + query
		}
		return t.Quirks.Path + query
	}
	prefix := "/openai"
	if strings.HasSuffix(t.BaseURL, "/openai") || strings.HasSuffix(t.BaseURL, "/openai/v1") {
		prefix = ""
	}
	switch {
	case dated:
		return prefix + "/deployments/" + url.PathEscape(t.Upstream) + what + query
	case !strings.HasSuffix(t.BaseURL, "/v1"):
		prefix += "/v1"
	}
	return prefix + what + query
}
