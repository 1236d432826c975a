import { readdir, readFile } from 'node:fs/promises'
import { basename, dirname, join, matchesGlob } from 'node:path'

import { errorCode } from '../lib/errors.ts'
import type { ProgramResult } from './run-program.ts'
import type { UnitFacts } from './service-unit.ts'

/** What a service is started with, as far as it can be seen from here. */
export interface ServiceVariables {
  readonly variables: ReadonlyMap<string, string>
  /** Files with more of them that this user may not read; what they say comes after. */
  readonly unseen: readonly string[]
}

export interface EnvironmentDeps {
  /** `systemctl show-environment`: what every service gets, as by DefaultEnvironment= of systemd-system.conf(5). */
  readonly ofManager: () => Promise<ProgramResult>
  readonly read?: (path: string) => Promise<string>
}

/** In the order of systemd.exec(5), "Environment Variables in Spawned Processes". */
export async function readServiceVariables(
  unit: Pick<UnitFacts, 'environment' | 'environmentFiles'>,
  { ofManager, read = (path) => readFile(path, 'utf8') }: EnvironmentDeps,
): Promise<ServiceVariables> {
  const manager = await ofManager()
  const files = await Promise.all(unit.environmentFiles.map(async (path) => await readAll(path, read)))
  return {
    variables: new Map([
      ...environmentFile(manager.exitCode === 0 ? manager.stdout : ''),
      ...unit.environment,
      ...files.flat().flatMap(({ text }) => [...environmentFile(text)]),
    ]),
    unseen: files.flat().flatMap(({ path, isUnseen }) => (isUnseen ? [path] : [])),
  }
}

/** Lines `A=1`, in quotes or not, as far as proxies need it (systemd.exec(5), EnvironmentFile=). */
export function environmentFile(text: string): ReadonlyMap<string, string> {
  return new Map(
    [...text.matchAll(/^\s*([A-Za-z_]\w*)=[ \t]*(["']?)(.*?)\2[ \t]*$/gm)].map(([, name = '', , value = '']) => [
      name,
      value,
    ]),
  )
}

interface ReadFile {
  readonly path: string
  readonly text: string
  readonly isUnseen: boolean
}

/** A file, or all that a pattern is for. What is not there is left out, as systemd does with `-` before it. */
async function readAll(pattern: string, read: (path: string) => Promise<string>): Promise<readonly ReadFile[]> {
  try {
    return await Promise.all((await pathsOf(pattern)).map(async (path) => await readOne(path, read)))
  } catch (error) {
    return [{ path: pattern, text: '', isUnseen: isDenied(error) }]
  }
}

async function readOne(path: string, read: (path: string) => Promise<string>): Promise<ReadFile> {
  try {
    return { path, text: await read(path), isUnseen: false }
  } catch (error) {
    return { path, text: '', isUnseen: isDenied(error) }
  }
}

/** Wildcards of the last part alone. */
async function pathsOf(pattern: string): Promise<readonly string[]> {
  if (!/[*?[]/.test(pattern)) return [pattern]
  const names = await readdir(dirname(pattern))
  return names
    .filter((name) => matchesGlob(name, basename(pattern)))
    .sort()
    .map((name) => join(dirname(pattern), name))
}

function isDenied(error: unknown): boolean {
  return ['EACCES', 'EPERM'].includes(errorCode(error) ?? '')
}
