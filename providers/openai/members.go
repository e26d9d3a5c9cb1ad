package openai

import "tallyroute/providers"

// members lists what providers of the format accept beyond it. Sources: the references of
// OpenAI, Azure, vLLM, SGLang, llama.cpp, LM Studio, Together, Fireworks, DeepInfra, Groq,
// Z.AI, Alibaba, Moonshot, DeepSeek and OpenRouter. What one of them charges for, or uses in
// another sense, is in that provider's file in the catalogue.
func members() providers.Members {
	return providers.NewMembers(
		providers.Free.Of(
			// How the next token is chosen.
			"top_a", "typical_p", "tfs_z", "epsilon_cutoff", "eta_cutoff", "repetition_penalty", "repeat_penalty",
			"repeat_last_n", "repetition_context_size", "no_repeat_ngram_size", "dynatemp_range", "dynatemp_exponent",
			"dynamic_temperature", "dynatemp_low", "dynatemp_high", "smoothing_factor", "smoothing_curve", "temperature_last",
			"mirostat", "mirostat_mode", "mirostat_tau", "mirostat_eta", "mirostat_target", "mirostat_lr", "dry_multiplier",
			"dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers", "xtc_probability", "xtc_threshold",
			"top_n_sigma", "samplers", "sampler_seed", "random_seed", "do_sample", "use_cache", "penalty_prompt", "logits_bias",
			// Where the output ends.
			"stop_token_ids", "stop_sequences", "stop_regex", "no_stop_trim", "bad_words", "allowed_token_ids", "ignore_eos",
			"min_tokens", "include_stop_str_in_output", "forced_bos_token_id",
			// What form the output has.
			"guided_json", "guided_regex", "guided_choice", "guided_grammar", "guided_decoding_backend",
			"guided_whitespace_pattern", "structured_outputs", "structured_output", "grammar", "grammar_lazy", "json_schema",
			"regex", "ebnf", "structural_tag", "response_prefix", "skip_special_tokens", "spaces_between_special_tokens",
			"detokenize", "raw_output", "echo",
			// How the conversation is written out.
			"chat_template", "chat_template_kwargs", "chat_template_args", "add_generation_prompt", "add_special_tokens",
			"continue_final_message", "truncate_prompt_tokens", "prompt_truncate_len", "context_length_exceeded_behavior",
			"prompt_mode", "safe_prompt", "documents_prefix", "transforms", "truncation",
			// How much the model reasons, within the output limit.
			"think", "enable_thinking", "thinking_budget", "thinking_token_budget", "reasoning_budget", "reasoning_format",
			"reasoning_split", "include_reasoning", "separate_reasoning", "stream_reasoning", "clear_thinking",
			"preserve_thinking", "disable_reasoning", "thinking_mode", "reasoning.mode=standard", "reasoning.context",
			// What else the response reports.
			"usage", "usage.include", "prompt_logprobs", "return_token_ids", "return_tokens_as_token_ids", "return_progress",
			"timings_per_token", "perf_metrics_in_response", "return_hidden_states", "stream_tool_calls", "tool_stream",
			"incremental_output", "result_format", "post_sampling_probs", "n_probs",
			// Who is asking, and how the request is cached and scheduled.
			"user_id", "request_id", "trace", "labels", "cache_salt", "cache_prompt", "id_slot", "n_keep", "keep_alive", "ttl",
			"prompt_cache_isolation_key", "prompt_cache_max_len", "priority", "speculation", "extra_content",
			// Members of messages and their parts.
			"messages.id", "messages.thinking", "messages.thinking_blocks", "messages.tool_name", "messages.tool_plan",
			"messages.citations", "messages.extra_content", "messages.partial", "messages.provider_specific_fields",
			"messages.images", "messages.weight", "messages.function_call.id", "messages.phase", "messages.encrypted_content",
			"messages.content.id", "messages.content.thinking", "messages.content.signature", "messages.content.data",
			"messages.content.reasoning", "messages.content.annotations", "messages.content.document_name",
			"messages.content.extra_content", "messages.content.refusal", "messages.content.reference_ids",
			"messages.content.image_url.format", "messages.content.file.format", "messages.content.title",
			"messages.content.context", "messages.content.citations", "messages.audio.data", "messages.audio.transcript",
			"messages.audio.expires_at", "messages.content.image_url.uuid", "messages.content.uuid",
			"messages.tool_calls.provider_specific_fields", "messages.tool_calls.function.thought_signature",
			"messages.tool_calls.extra_content", "messages.tool_calls.caller", "messages.tool_calls.name",
			"messages.tool_calls.arguments", "messages.tool_calls.thought_signature", "messages.tool_calls.status",
			"messages.tool_calls.output", "messages.tool_calls.result",
			// What SDKs and providers add to their responses, which comes back with the next
			// turn.
			"messages.parsed", "messages.tool_calls.function.parsed_arguments", "messages.function_call.parsed_arguments",
			"messages.executed_tools", "messages.provider_metadata", "messages.thought_signature", "messages.signature",
			"messages.logprobs", "messages.search_results", "messages.metadata", "messages.response_metadata",
			"messages.additional_kwargs", "messages.timestamp", "messages.created", "messages.created_at", "messages.status",
			"messages.is_error", "messages.index", "messages.model", "messages.usage", "messages.finish_reason",
			"messages.stop_reason", "messages.type", "messages.object", "messages.token_ids", "messages.channel",
			"messages.recipient", "messages.content.index", "tools.function.return", "tools.function.returns", "tools.function.outputs",
			"tools.function.title", "tools.function.annotations", "tools.function.examples", "tools.function.metadata",
			"tools.function.eager_input_streaming", "tools.function.defer_loading", "tools.function.input_schema",
		),
		providers.PricedBy(providers.MeterWebSearch, 0, "web_search_options"),
		providers.Free.Of("web_search_options.search_context_size", "web_search_options.user_location"),
		providers.Free.Of("moderation.policy", "moderation.model=omni-moderation-latest", "moderation.model=omni-moderation-2024-09-26"),
		providers.Extends.Of("prediction"),
		providers.PricedBy(providers.MeterImage, 0, "modalities"),
		providers.Selects.Of("models", "model_list", "fallbacks", "route", "preset", "provider", "providers", "provider_options",
			"providerOptions", "router", "draft_model", "safety_model", "adapter_id", "lora"),
		providers.Stored.Of("reference", "messages.content.file.file_id", "messages.content.file_id", "messages.audio.id", "audio.voice",
			"previous_response_id", "conversation", "prompt", "container", "cached_content", "data_sources", "vector_store_ids",
			"file_ids"),
		providers.Refused.Of(
			// Other output limits, and numbers of choices, that nothing here reads.
			"max_output_tokens", "max_new_tokens", "max_length", "max_tokens_to_sample", "max_gen_toks", "max_generated_tokens",
			"maxOutputTokens", "maxTokens", "max_output", "n_predict", "num_predict", "max_reasoning_tokens", "num_return_sequences",
			"use_beam_search", "num_beams", "beam_width", "length_penalty", "early_stopping", "max_tool_calls", "candidate_count",
			// Work that continues at the provider.
			"mcp_servers", "background",
		),
		providers.Charged.Of("plugins", "connectors"),
	)
}
