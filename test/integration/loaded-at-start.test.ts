import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod'

import { createAgentSite } from '../support/agent-site.ts'
import { runCommand } from '../support/run-command.ts'
import { tempFolder, type TempFolder } from '../support/temp-folder.ts'

const root = join(import.meta.dirname, '..', '..')
const metaSchema = z.object({
  outputs: z.record(z.string(), z.object({ bytes: z.number(), inputs: z.record(z.string(), z.unknown()) })),
})

/** What the time to READY and the memory at rest depend on, whatever the machine does besides: what is loaded by then. */
describe('the bundle of the agent', () => {
  let folder: TempFolder
  let bundle: string

  beforeAll(async () => {
    folder = await tempFolder()
    const dist = join(folder.path, 'dist')
    await runCommand('env', ['-C', root, process.execPath, join(root, 'scripts/build.ts'), '--outdir', dist])
    bundle = join(dist, 'native', 'agent.mjs')
  })

  afterAll(async () => {
    await folder[Symbol.asyncDispose]()
  })

  it('has loaded nothing by READY that only some appliances, or other commands, need', async () => {
    const { bytes, inputs } = await partsOf(await loadedByReady())
    for (const part of [/aws-iot-device-sdk-v2/, /aws-crt/, /@peculiar/, /reflect-metadata/, /client-sts/]) {
      expect(inputs.filter((input) => part.test(input))).toEqual([])
    }
    const notHere = /agent\/(doctor|publishing)\/|agent\/commands\/(?!command-|run\.|until-provisioned\.)/
    expect(inputs.filter((input) => notHere.test(input))).toEqual([])
    expect(inputs).toContain('agent/commands/run.ts')
    expect(bytes).toBeLessThan(1_750_000) // more needs a reason: what is parsed takes time and memory at every start
  })

  it('loads for a command that asks the agent neither the agent itself nor the SDKs', async () => {
    const command = ['--import', loadReporter, bundle, 'status', '--socket', join(folder.path, 'none')]
    const stderr = await runCommand(process.execPath, command).then(
      () => '',
      (error: unknown) => String(error),
    )
    const { bytes, inputs } = await partsOf(loadedIn(stderr))
    expect(inputs).toContain('agent/commands/ask-agent.ts')
    expect(inputs.filter((input) => /@aws-sdk|@smithy|winston|agent\/agent\.ts/.test(input))).toEqual([])
    expect(bytes).toBeLessThan(300_000)
  })

  it("fills Node's compile cache by READY, and leaves it as it is at the next start, which takes it", async () => {
    await using site = await createAgentSite()
    const cache = join(folder.path, 'cache')
    const command = [process.execPath, '--max-semi-space-size=1', bundle]
    const writtenByOneStart = async (): Promise<readonly string[]> => {
      const agent = site.start({ command, env: { NODE_COMPILE_CACHE: cache } })
      await agent.until(() => agent.output.includes('agent is ready'))
      expect(await agent.stop()).toEqual({ code: 0, signal: null })
      return await filesIn(cache)
    }
    const written = await writtenByOneStart()
    expect(written.length).toBeGreaterThan(20)
    expect(await writtenByOneStart()).toEqual(written)
  })

  async function loadedByReady(): Promise<readonly string[]> {
    await using site = await createAgentSite()
    const agent = site.start({ command: [process.execPath, '--import', loadReporter, bundle] })
    await agent.until(() => agent.output.includes('agent is ready'))
    await agent.stop()
    return loadedIn(agent.output) // all of it: what comes by two pipes has no order
  }

  async function partsOf(files: readonly string[]) {
    const meta = metaSchema.parse(JSON.parse(await readFile(join(folder.path, 'dist/bundle-meta.json'), 'utf8')))
    const loaded = new Set(files.map((file) => basename(file)))
    const parts = Object.entries(meta.outputs).filter(([file]) => loaded.has(basename(file)))
    expect(parts).toHaveLength(loaded.size)
    return {
      bytes: parts.reduce((sum, [, part]) => sum + part.bytes, 0),
      inputs: parts.flatMap(([, part]) => Object.keys(part.inputs)),
    }
  }
})

/** `--max-semi-space-size` alone of V8's options leaves its compiled code valid. */
it('starts the runtime with options under which Node takes the compiled code of its own modules', async () => {
  const wrapper = await readFile(join(root, 'packaging', 'panorama-agent'), 'utf8')
  const options = wrapper.match(/ --[\w-]+(=\w+)?/g)?.map((option) => option.trim()) ?? []
  expect(options).toContain('--max-semi-space-size=1')
  const count = `const { internalBinding } = require('internal/test/binding')
    const { compiledWithCache, compiledWithoutCache } = internalBinding('builtins').getCacheUsage()
    console.log(compiledWithCache.size > 0, compiledWithoutCache.size)`
  const script = `require('node:https'); ${count}`
  const { stdout } = await runCommand(process.execPath, [...options, '--expose-internals', '-e', script])
  expect(stdout).toBe('true 0\n')
})

/** Loaded before the agent: tells on stderr what is loaded. */
const loadReporter = `data:text/javascript,${encodeURIComponent(`import { registerHooks } from 'node:module'
registerHooks({ load: (url, context, next) => {
  if (url.startsWith('file:')) process.stderr.write('loaded ' + url + '\\n')
  return next(url, context)
} })`)}`

/** Each with its inode: Node replaces what it could not use. */
async function filesIn(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  return await Promise.all(paths.sort().map(async (path) => `${path} ${(await stat(path)).ino}`))
}

function loadedIn(output: string): readonly string[] {
  return [...output.matchAll(/^loaded (\S+)$/gm)].map(([, url = '']) => url)
}
