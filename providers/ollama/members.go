package ollama

import (
	"tallyroute/providers"
	"tallyroute/providers/translate"
)

// members lists what Ollama accepts beyond the OpenAI format. Source: its reference for
// /api/chat and for the parameters of a Modelfile.
func members() providers.Members {
	return translate.Members(
		providers.Free.Of(
			"format", "keep_alive", "top_k", "min_p", "repeat_penalty", "repeat_last_n", "num_ctx", "typical_p",
			"options.temperature", "options.top_p", "options.top_k", "options.min_p", "options.seed", "options.stop",
			"options.repeat_penalty", "options.repeat_last_n", "options.num_ctx", "options.typical_p", "options.tfs_z",
			"options.presence_penalty", "options.frequency_penalty", "options.mirostat", "options.mirostat_tau",
			"options.mirostat_eta", "options.penalize_newline", "options.num_keep", "options.numa", "options.num_batch",
			"options.num_gpu", "options.main_gpu", "options.low_vram", "options.use_mmap", "options.use_mlock",
			"options.num_thread", "options.vocab_only", "options.draft_num_predict",
		),
		providers.Unknown.Of("options.*", "tools.function.*"),
		providers.Refused.Of("options.num_predict"),
	)
}
