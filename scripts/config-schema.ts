import { readFile, writeFile } from 'node:fs/promises'

import * as z from 'zod'

import { configSchema } from '../agent/config/config-schema.ts'

/** Writes config/agent.schema.json from the zod schema; with --check, says whether it is up to date. */
const path = new URL('../config/agent.schema.json', import.meta.url)
const schema = { title: 'panorama-agent configuration', ...z.toJSONSchema(configSchema, { io: 'input' }) }
const text = `${JSON.stringify(schema, null, 2)}\n`

if (!process.argv.includes('--check')) {
  await writeFile(path, text)
} else if ((await readFile(path, 'utf8').catch(() => '')) !== text) {
  console.error('config/agent.schema.json is out of date: run `npm run schema`')
  process.exitCode = 1
}
