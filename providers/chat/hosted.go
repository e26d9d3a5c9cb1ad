package chat

import "slices"

// Hosted reports whether a provider works on its own account for this request, so
// that the prompt, the answer or both grow beyond what can be seen of it here: by
// tools that run there, by searches, or by contexts and files that it keeps.
func (r *Request) Hosted() bool {
	if r.need&needHosted != 0 {
		return true
	}
	for name, value := range r.Members() {
		if grows(string(name)) && !slices.Contains([]string{"null", "false"}, string(value)) {
			return true
		}
	}
	return false
}

// grows are the members that have a provider do or add what is not in the request.
func grows(name string) bool {
	switch name {
	case "web_search_options", "web_search", "search_parameters", "enable_search", "search_options", "plugins", // searches
		"mcp_servers", "container", "connectors", "documents", "data_sources", "venice_parameters", // tools and documents
		"previous_response_id", "conversation", "prompt", "cached_content", "cachedContent": // contexts
		return true
	}
	return false
}
