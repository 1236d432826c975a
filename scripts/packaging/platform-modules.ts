import { createHash } from 'node:crypto'
import { copyFile, mkdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { AgentError } from '../../agent/lib/errors.ts'
import type { Platform } from './platform.ts'
import { runTool } from './run-tool.ts'

/** Below the root of a platform's modules. */
export const crtFolder = 'node_modules/aws-crt'

/** Below the root of a platform's modules. */
export function runtimeFolder({ cpu }: Platform): string {
  return `node_modules/node-linux-${cpu}`
}

/** Where a platform's parts come from. */
export interface PlatformModules {
  /** The folder that `node_modules` is in. */
  readonly root: string
  /** The Node runtime. */
  readonly node: string
  /** aws-crt's binary. */
  readonly crt: string
}

/**
 * The locked packages of a platform: those of the checkout when it is the machine's own, else installed once per lock
 * file into `.cache/`, which needs the npm registry.
 */
export async function findPlatformModules(root: string, platform: Platform): Promise<PlatformModules> {
  const isOwn = process.arch === platform.cpu
  const folder = isOwn ? root : await installModules(root, platform)
  return {
    root: folder,
    node: join(folder, runtimeFolder(platform), 'bin', 'node'),
    crt: join(folder, crtFolder, 'dist', 'bin', platform.crtFolder, 'aws-crt-nodejs.node'),
  }
}

async function installModules(root: string, platform: Platform): Promise<string> {
  const lock = await readFile(join(root, 'package-lock.json'))
  const digest = createHash('sha256').update(lock).digest('hex').slice(0, 16)
  const folder = join(root, '.cache', 'packages', `${platform.cpu}-${digest}`)
  if (await isThere(folder)) return folder
  const incoming = `${folder}.incoming`
  await rm(incoming, { recursive: true, force: true })
  await mkdir(incoming, { recursive: true })
  for (const name of ['package.json', 'package-lock.json']) await copyFile(join(root, name), join(incoming, name))
  const flags = ['--ignore-scripts', '--omit=dev', '--os=linux', `--cpu=${platform.cpu}`, '--no-audit', '--no-fund']
  await runTool('npm', ['ci', ...flags, '--loglevel=error'], {
    cwd: incoming,
    hint: 'npm must reach its registry once for each platform',
  })
  if (!(await isThere(join(incoming, runtimeFolder(platform))))) {
    throw new AgentError(`npm did not install the runtime for ${platform.cpu}`, {
      hint: 'use npm 10 or newer, which knows --cpu',
    })
  }
  await rename(incoming, folder)
  return folder
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  )
}
