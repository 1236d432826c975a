import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { agentVersion } from '../../agent/build-info.ts'
import { createAgentSite } from '../support/agent-site.ts'
import { runCommand } from '../support/run-command.ts'
import { tempFolder, type TempFolder } from '../support/temp-folder.ts'
import { arm64Libraries } from './support/arm64-libraries.ts'
import { packageFile, whyNoTool } from './support/package-file.ts'

const isWanted = process.env['PANORAMA_TEST_ARM64'] === '1'
if (!isWanted) console.log('left out: the package for arm64 under qemu-user (set PANORAMA_TEST_ARM64=1)')
const noQemu = isWanted ? await whyNoTool('qemu-aarch64-static', 'qemu-user-static') : undefined
const noLintian = isWanted ? await whyNoTool('lintian', 'lintian') : undefined

describe.skipIf(!isWanted || noQemu !== undefined)('the package for arm64, built here and run by qemu-user', () => {
  let folder: TempFolder
  let file: string
  let lib: string
  /** How its runtime is started here. */
  let node: readonly string[]

  beforeAll(async () => {
    folder = await tempFolder()
    file = await packageFile({ platform: 'arm64', folder: folder.path })
    await runCommand('dpkg-deb', ['--extract', file, join(folder.path, 'tree')])
    lib = join(folder.path, 'tree/usr/lib/panorama-agent')
    const flags = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=1', '--heap-growing-percent=100']
    node = ['qemu-aarch64-static', '-L', await arm64Libraries(), join(lib, 'node'), ...flags]
  })

  afterAll(async () => {
    await folder[Symbol.asyncDispose]()
  })

  it('brings runtime, agent and aws-crt for arm64', async () => {
    const [qemu = '', ...args] = node
    const crt = join(lib, 'bin/linux-arm64-glibc/aws-crt-nodejs.node')
    const load = `console.log(process.arch, process.version, typeof require(${JSON.stringify(crt)}).mqtt5_client_new)`
    expect((await runCommand(qemu, [...args, '-e', load])).stdout).toBe(`arm64 ${process.version} function\n`)
    const version = await runCommand(qemu, [...args, join(lib, 'native/agent.cjs'), '--version'])
    expect(version.stdout).toBe(`${agentVersion}\n`)
  })

  it('does the main job', async () => {
    await using site = await createAgentSite()
    await site.publish('a', 'content')
    site.setPassword('first')
    const agent = site.start({ command: [...node, join(lib, 'native/agent.cjs')] })
    await agent.until(
      ({ artifacts, cameras, logs }) => [...artifacts, ...cameras, logs].every(({ state }) => state === 'ok'),
      180_000,
    )
    expect(await readFile(join(site.artifactFolder, 'current', 'a'), 'utf8')).toBe('content')
    expect(JSON.parse(await readFile(site.cameraFile, 'utf8'))).toMatchObject({ password: 'first' })
    expect(await agent.stop()).toEqual({ code: 0, signal: null })
  })

  it.skipIf(noLintian !== undefined)('is as Debian wants its packages', async () => {
    const args = ['--fail-on', 'error,warning', '--allow-root', file]
    expect((await runCommand('lintian', args, { withinMs: 300_000 })).stdout).toBe('')
  })
})
