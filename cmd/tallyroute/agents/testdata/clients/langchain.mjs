// LangChain JS, with the models of OpenAI, in both of its APIs, and of Anthropic.
import { ChatAnthropic } from '@langchain/anthropic'
import { HumanMessage, ToolMessage } from '@langchain/core/messages'
import { tool } from '@langchain/core/tools'
import { ChatOpenAI } from '@langchain/openai'
import { z } from 'zod'
import { base, cancelled, expect, key, model, picture, refused } from './common.mjs'

const lookup = tool(({ word }) => `found ${word}`, { name: 'lookup', description: 'looks up', schema: z.object({ word: z.string() }) })
const openai = { apiKey: key, configuration: { baseURL: `${base}/v1` }, maxRetries: 0 }
const models = {
  chat: (id) => new ChatOpenAI({ ...openai, model: id }),
  responses: (id) => new ChatOpenAI({ ...openai, model: id, useResponsesApi: true }),
  messages: (id) => new ChatAnthropic({
    apiKey: key, anthropicApiUrl: base, model: id, maxRetries: 0, maxTokens: 4096, thinking: { type: 'enabled', budget_tokens: 2048 },
  }),
}

for (const [name, make] of Object.entries(models)) {
  const plain = make(model)
  for (const stream of [false, true]) {
    const ask = async (on, input) => {
      if (!stream) return on.invoke(input)
      let whole
      for await (const part of await on.stream(input)) whole = whole ? whole.concat(part) : part
      return whole
    }
    expect(`${name} chat`, (await ask(plain, 'say pong')).text, 'pong from')
    const list = [new HumanMessage('use the tool [[loop]]')]
    const able = plain.bindTools([lookup])
    for (;;) {
      const m = await ask(able, list)
      list.push(m)
      if (!m.tool_calls?.length) {
        expect(`${name} loop`, m.text, name === 'chat' ? '' : 'done after 10 results')
        break
      }
      for (const c of m.tool_calls) list.push(new ToolMessage({ content: await lookup.invoke(c.args), tool_call_id: c.id }))
    }
    const content = [{ type: 'text', text: '[[image]]' }, { type: 'image_url', image_url: { url: `data:image/png;base64,${picture}` } }]
    expect(`${name} image`, (await ask(plain, [new HumanMessage({ content })])).text, 'images: 1')
  }
  await cancelled(name, (signal) => plain.stream('[[slow]]', { signal }))
  await refused(name, () => make('nowhere').invoke('x'))
}
