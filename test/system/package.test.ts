import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { agentVersion } from '../../agent/build-info.ts'
import { runTool } from '../../scripts/packaging/run-tool.ts'
import { tempFolder, type TempFolder } from '../support/temp-folder.ts'
import { ownPlatform, packageFile, whyNoTool } from './support/package-file.ts'

const noLintian = await whyNoTool('lintian', 'lintian')
const crtFolder = ownPlatform === 'arm64' ? 'linux-arm64-glibc' : 'linux-x64-glibc'
const lib = '/usr/lib/panorama-agent'

describe('the package', () => {
  let folder: TempFolder
  let file: string
  /** What it installs. */
  let tree: string

  beforeAll(async () => {
    folder = await tempFolder()
    file = await packageFile({ folder: folder.path })
    tree = join(folder.path, 'tree')
    await runTool('dpkg-deb', ['--extract', file, tree], { hint: '' })
  })

  afterAll(async () => {
    await folder[Symbol.asyncDispose]()
  })

  it('is the same, byte for byte, when it is built again elsewhere, at another time', async () => {
    const temporary = join(folder.path, 'elsewhere')
    await mkdir(temporary)
    const env = { TMPDIR: temporary, TZ: 'Asia/Tokyo', LC_ALL: 'C' }
    const again = await packageFile({ folder: join(folder.path, 'again'), env })
    expect(await digest(again)).toBe(await digest(file))
    expect(await readdir(temporary)).toEqual([])
  })

  it('installs what the system, people and tools look for, as root, and nothing else', async () => {
    const listed = await runTool('dpkg-deb', ['--contents', file], { hint: '' })
    const entries = listed
      .trimEnd()
      .split('\n')
      .map((line) => /^(\S+) (\S+) +\d+ \S+ \S+ \.(.*)$/.exec(line) ?? [])
      .map(([, mode, owner, path]) => ({ mode, owner, path }))
    expect(new Set(entries.map(({ owner }) => owner))).toEqual(new Set(['root/root']))
    const folders = entries.filter(({ mode }) => mode?.startsWith('d'))
    expect(new Set(folders.map(({ mode }) => mode))).toEqual(new Set(['drwxr-xr-x']))
    const files = entries.filter(({ mode }) => mode?.startsWith('d') === false)
    const pathsOf = (wanted: string) => files.flatMap(({ mode, path }) => (mode === wanted ? [path] : []))
    expect(pathsOf('-rwxr-xr-x')).toEqual([
      '/usr/bin/panorama-agent',
      `${lib}/find-serial`,
      `${lib}/node`,
      `${lib}/record-exit`,
      `${lib}/unseal-key`,
      '/usr/share/doc/panorama-agent/examples/consumers/camera-hook',
      '/usr/share/doc/panorama-agent/examples/consumers/watch-cameras',
    ])
    const parts = files.filter(({ path = '' }) => isPart(path))
    expect(parts.length).toBeGreaterThan(20)
    expect(pathsOf('-rw-r--r--').filter((path = '') => !isPart(path))).toEqual([
      `${lib}/bin/${crtFolder}/aws-crt-nodejs.node`,
      `${lib}/native/agent.mjs`,
      `${lib}/native/request-handler.cjs`,
      `${lib}/native/update-runner.cjs`,
      `${lib}/panorama-agent-update.service`,
      '/usr/lib/systemd/system/panorama-agent-console.path',
      '/usr/lib/systemd/system/panorama-agent-console.service',
      '/usr/lib/systemd/system/panorama-agent-request.path',
      '/usr/lib/systemd/system/panorama-agent-request.service',
      '/usr/lib/systemd/system/panorama-agent-serial.service',
      '/usr/lib/systemd/system/panorama-agent-unseal.service',
      '/usr/lib/systemd/system/panorama-agent.service',
      '/usr/lib/sysusers.d/panorama-agent.conf',
      '/usr/lib/tmpfiles.d/panorama-agent.conf',
      '/usr/share/bash-completion/completions/panorama-agent',
      '/usr/share/doc/panorama-agent/changelog.gz',
      '/usr/share/doc/panorama-agent/copyright',
      '/usr/share/doc/panorama-agent/examples/config.json',
      '/usr/share/doc/panorama-agent/examples/consumers/camera-changed@.path',
      '/usr/share/doc/panorama-agent/examples/consumers/camera-changed@.service',
      '/usr/share/doc/panorama-agent/sbom.cdx.json',
      '/usr/share/lintian/overrides/panorama-agent',
      '/usr/share/man/man8/panorama-agent.8.gz',
      '/usr/share/panorama-agent/agent.schema.json',
    ])
    expect(files).toHaveLength(31 + parts.length)
  })

  it('puts the parts of the agent in place before what loads them, so that an upgrade that is cut off leaves one that starts', async () => {
    const listed = await runTool('dpkg-deb', ['--contents', file], { hint: '' })
    const inOrder = [...listed.matchAll(/ \.(\S+\/native\/agent\S*\.mjs)$/gm)].map(([, path]) => path)
    expect(inOrder.length).toBeGreaterThan(20)
    expect(inOrder.at(-1)).toBe(`${lib}/native/agent.mjs`)
  })

  it('depends on the libraries that its binaries need, in the versions that Debian has', async () => {
    const depends = await runTool('dpkg-deb', ['--field', file, 'Depends'], { hint: '' })
    expect(depends).toMatch(
      /^libatomic1 .*, libc6 \(>= 2\.\d+\), libgcc-s1 .*, libstdc\+\+6 \(>= \d+\), procps, systemd/,
    )
  })

  it('brings the runtime that the tests run on', async () => {
    expect(await runTool(join(tree, lib, 'node'), ['--version'], { hint: '' })).toBe(`${process.version}\n`)
  })

  it('brings an agent that starts, and an example that it accepts', async () => {
    const agent = (...args: string[]) =>
      runTool(join(tree, lib, 'node'), [join(tree, lib, 'native', 'agent.mjs'), ...args], { hint: '' })
    const example = join(tree, 'usr/share/doc/panorama-agent/examples/config.json')
    expect(await agent('--version')).toBe(`${agentVersion}\n`)
    await agent('config', 'check', '--config', example)
    expect(JSON.parse(await readFile(example, 'utf8'))).toMatchObject({
      $schema: '/usr/share/panorama-agent/agent.schema.json',
    })
  })

  it("brings aws-crt's binary, which the runtime can load", async () => {
    const crt = join(tree, lib, 'bin', crtFolder, 'aws-crt-nodejs.node')
    const load = `console.log(typeof require(${JSON.stringify(crt)}).mqtt5_client_new)`
    expect(await runTool(join(tree, lib, 'node'), ['-e', load], { hint: '' })).toBe('function\n')
  })

  it.skipIf(noLintian !== undefined)('is as Debian wants its packages', async () => {
    const found = await runTool('lintian', ['--fail-on', 'error,warning', '--allow-root', file], { hint: '' })
    expect(found).toBe('')
  })
})

function isPart(path: string): boolean {
  return path.startsWith(`${lib}/native/agent-`)
}

async function digest(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex')
}
