package responses

import (
	"tallyroute/providers"
	"tallyroute/providers/translate"
)

// members lists what the Responses API accepts beyond the chat format. Source: OpenAI's
// OpenAPI file, CreateResponse and its tools.
func members() providers.Members {
	return translate.Members(
		providers.Unknown.Of("tools.function.*", "tools.custom.*"),
		providers.Free.Of("truncation", "max_tool_calls", "web_search_options.search_context_size", "web_search_options.user_location"),
		providers.Stored.Of("prompt", "previous_response_id"),
		providers.Free.Of("moderation.policy", "moderation.model=omni-moderation-latest", "moderation.model=omni-moderation-2024-09-26"),
		providers.Unknown.Of("moderation.*"),
		providers.PricedBy(providers.MeterWebSearch, 0, "web_search_options", "max_tool_calls"),

		translate.HostedMembers(),
		providers.PricedBy(providers.MeterWebSearch, 0, "tools.web_search", "max_tool_calls", "max_uses"),
		providers.PricedBy(providers.MeterWebSearch, 0, "tools.google_search", "max_tool_calls"),
		providers.PricedBy(providers.MeterWebSearch, 0, "tools.openrouter:web_search", "max_tool_calls"),
		providers.PricedBy(providers.MeterContainer, 1, "tools.code_execution"),
		providers.PricedBy(providers.MeterWebSearch, 0, "tools.web_search_preview", "max_tool_calls"),
		providers.Free.Of("tools.web_search.search_context_size", "tools.web_search.user_location", "tools.web_search.filters",
			"tools.web_search.external_web_access", "tools.web_search.search_content_types",
			"tools.web_search_preview.search_context_size", "tools.web_search_preview.user_location",
			"tools.web_search_preview.search_content_types"),
		providers.PricedBy(providers.MeterFileSearch, 0, "tools.file_search", "max_tool_calls"),
		providers.Stored.Of("tools.file_search.vector_store_ids"),
		providers.Free.Of("tools.file_search.max_num_results", "tools.file_search.ranking_options", "tools.file_search.filters"),
		providers.PricedBy(providers.MeterContainer, 1, "tools.code_interpreter"),
		providers.Stored.Of("tools.code_interpreter.container", "tools.code_interpreter.container.file_ids"),
		providers.Free.Of("tools.code_interpreter.container.type=auto", "tools.code_interpreter.container.memory_limit=1g"),
		providers.Charged.Of("tools.code_interpreter.container.memory_limit=*", "tools.shell.environment.memory_limit=*"),
		providers.PricedBy(providers.MeterImage, 0, "tools.image_generation", "max_tool_calls"),
		providers.Selects.Of("tools.image_generation.model"),
		providers.Free.Of("tools.image_generation.quality", "tools.image_generation.size", "tools.image_generation.output_format",
			"tools.image_generation.output_compression", "tools.image_generation.moderation", "tools.image_generation.background",
			"tools.image_generation.input_fidelity", "tools.image_generation.action"),
		providers.Stored.Of("tools.image_generation.input_image_mask"),
		providers.PricedBy(providers.MeterContainer, 1, "tools.shell"),
		providers.Stored.Of("tools.shell.environment.container_id", "tools.shell.environment.file_ids", "tools.shell.environment.skills"),
		providers.Free.Of("tools.shell.environment.type", "tools.shell.environment.memory_limit=1g"),
		// Other settings, and items that describe tool use earlier in the conversation.
		providers.Free.Of("client_metadata", "reasoning.context", "reasoning.mode=standard", "input", "input.web_search_call",
			"input.file_search_call",
			"input.code_interpreter_call", "input.image_generation_call", "input.mcp_list_tools", "input.mcp_call",
			"input.tool_search_call",
			"input.tool_search_output", "input.additional_tools", "input.compaction", "input.computer_call", "input.computer_call_output",
			"input.local_shell_call", "input.local_shell_call_output", "input.shell_call", "input.shell_call_output",
			"input.apply_patch_call", "input.apply_patch_call_output", "input.mcp_approval_request", "input.mcp_approval_response"),
		providers.Stored.Of("input.item_reference"),
		// Tools that run at the client.
		providers.Free.Of("tools.computer", "tools.computer_use", "tools.computer_use_preview", "tools.local_shell",
			"tools.apply_patch", "tools.tool_search", "tools.namespace", "tools.computer_use_preview.display_width",
			"tools.computer_use_preview.display_height", "tools.computer_use_preview.environment", "tools.computer.display_width",
			"tools.computer.display_height", "tools.computer.environment", "tools.tool_search.execution", "tools.namespace.tools",
			"tools.programmatic_tool_calling", "tools.apply_patch.allowed_callers", "tools.shell.allowed_callers",
			"tools.code_interpreter.allowed_callers", "tools.function.allowed_callers", "tools.function.defer_loading",
			"tools.function.output_schema", "tools.custom.allowed_callers", "tools.custom.defer_loading", "tools.custom.format"),
		providers.Refused.Of("tools.mcp", "tools.image_generation.partial_images"),
	)
}
