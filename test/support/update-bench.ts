import { generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, copyFile, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'vitest'

import { namesIn, requestBench, type RequestBench } from './request-bench.ts'
import { runCommand } from './run-command.ts'

export const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'
export const installed = '1.0.0'
export const done = { result: 'done', code: 'ok' }
export const vendorKey = generateKeyPairSync('ed25519')
export const otherKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
/** The current release of the artifact `agent`. */
export const release = 'artifacts/agent/releases/r1'

export interface PackageSpec {
  readonly name?: string
  readonly version: string
  readonly arch?: string
}

export interface UpdateBenches {
  /** An appliance with version 1.0.0, or another one, its way back, and the vendor's key; the artifact is empty. */
  readonly appliance: (version?: string) => Promise<RequestBench>
  /** Puts a package into the release, signed by the vendor or by another. */
  readonly publish: (bench: RequestBench, spec: PackageSpec, key?: KeyObject) => Promise<string>
  /** A package, made where it is not there yet. */
  readonly debOf: (spec: PackageSpec) => Promise<string>
}

/** Appliances that can be updated, whose packages are kept in a folder. */
export function updateBenches(packages: string): UpdateBenches {
  const debOf = async (spec: PackageSpec): Promise<string> => await makePackage(packages, spec)
  return {
    debOf,
    appliance: async (version = installed) => await makeAppliance(version, await debOf({ version })),
    publish: async (bench, spec, key = vendorKey.privateKey) => {
      const file = join(bench.folder, release, `panorama-agent_${spec.version}_${architecture}.deb`)
      await copyFile(await debOf(spec), file)
      const algorithm = key.asymmetricKeyType === 'ed25519' ? null : 'sha256'
      await writeFile(`${file}.sig`, sign(algorithm, await readFile(file), key))
      return file
    },
  }
}

export async function ask(bench: RequestBench, verb: string, argument: string): Promise<unknown> {
  const id = randomUUID()
  await bench.put(`${id}.json`, JSON.stringify({ verb, argument }))
  await bench.handle()
  return await bench.answer(id)
}

export async function trialOf({ folder }: RequestBench): Promise<unknown> {
  return JSON.parse(await readFile(join(folder, 'update/trial.json'), 'utf8')) as unknown
}

export async function expectUnchanged(bench: RequestBench): Promise<void> {
  expect(await namesIn(join(bench.folder, 'update'))).toEqual(['incoming', 'installed.deb'])
  expect(await namesIn(join(bench.folder, 'update/incoming'))).toEqual([])
  expect(await namesIn(join(bench.folder, 'units'))).toEqual([])
  expect((await bench.systemctlCalls()).filter((call) => !call.startsWith('stop'))).toEqual([])
}

async function makePackage(
  packages: string,
  { name = 'panorama-agent', version, arch = architecture }: PackageSpec,
): Promise<string> {
  const file = join(packages, `${name}_${version}_${arch}.deb`)
  if (existsSync(file)) return file
  const tree = join(packages, 'tree')
  await mkdir(join(tree, 'DEBIAN'), { recursive: true })
  const fields = { Package: name, Version: version, Architecture: arch, Maintainer: 'nobody', 'Installed-Size': 1 }
  const control = Object.entries(fields).map(([key, value]) => `${key}: ${value}\n`)
  await writeFile(join(tree, 'DEBIAN/control'), `${control.join('')}Description: a test\n`)
  await chmod(join(tree, 'DEBIAN'), 0o755)
  await runCommand('dpkg-deb', ['--build', '--root-owner-group', tree, file])
  await rm(tree, { recursive: true })
  return file
}

async function makeAppliance(version: string, deb: string): Promise<RequestBench> {
  const bench = await requestBench()
  const { folder } = bench
  const at = (...parts: readonly string[]): string => join(folder, ...parts)
  for (const path of ['etc/update-keys', 'update', 'lib/native', 'units', 'dpkg/info', release])
    await mkdir(at(path), { recursive: true, mode: 0o755 })
  await symlink('releases/r1', at('artifacts/agent/current'))
  await writeFile(at('etc/update-keys/vendor.pem'), vendorKey.publicKey.export({ type: 'spki', format: 'pem' }))
  await copyFile(deb, at('update/installed.deb'))
  for (const file of ['node', 'native/update-runner.cjs', 'panorama-agent-update.service'])
    await writeFile(at('lib', file), `${file}\n`)
  await writeFile(at('bin-dpkg'), '#!/bin/sh\nexec dpkg "$@"\n', { mode: 0o755 })
  await writeFile(at('bin-dpkg-query'), `#!/bin/sh\necho 'ii  ${version}'\n`, { mode: 0o755 })
  await bench.allow('install-update', 'agent')
  return bench
}
