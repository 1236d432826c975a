import { createHash } from 'node:crypto'
import { copyFile, mkdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { AgentError } from '../../agent/lib/errors.ts'
import type { Platform } from './platform.ts'
import { runTool } from './run-tool.ts'

/** Where a platform's parts come from. */
export interface PlatformModules {
  /** The Node runtime. */
  readonly node: string
  readonly nodeLicense: string
  /** aws-crt's binary. */
  readonly crt: string
}

/**
 * The locked packages of a platform: those of the checkout when it is the machine's own, else installed once per lock
 * file into `.cache/`, which needs the npm registry.
 */
export async function findPlatformModules(root: string, platform: Platform): Promise<PlatformModules> {
  const isOwn = process.arch === platform.cpu
  const modules = isOwn ? join(root, 'node_modules') : await installModules(root, platform)
  const runtime = join(modules, `node-linux-${platform.cpu}`)
  return {
    node: join(runtime, 'bin', 'node'),
    nodeLicense: join(runtime, 'LICENSE'),
    crt: join(modules, 'aws-crt', 'dist', 'bin', platform.crtFolder, 'aws-crt-nodejs.node'),
  }
}

async function installModules(root: string, platform: Platform): Promise<string> {
  const lock = await readFile(join(root, 'package-lock.json'))
  const digest = createHash('sha256').update(lock).digest('hex').slice(0, 16)
  const folder = join(root, '.cache', 'packages', `${platform.cpu}-${digest}`)
  if (await isThere(folder)) return join(folder, 'node_modules')
  const incoming = `${folder}.incoming`
  await rm(incoming, { recursive: true, force: true })
  await mkdir(incoming, { recursive: true })
  for (const name of ['package.json', 'package-lock.json']) await copyFile(join(root, name), join(incoming, name))
  const flags = ['--ignore-scripts', '--omit=dev', '--os=linux', `--cpu=${platform.cpu}`, '--no-audit', '--no-fund']
  await runTool('npm', ['ci', ...flags, '--loglevel=error'], {
    cwd: incoming,
    hint: 'npm must reach its registry once for each platform',
  })
  if (!(await isThere(join(incoming, 'node_modules', `node-linux-${platform.cpu}`)))) {
    throw new AgentError(`npm did not install the runtime for ${platform.cpu}`, {
      hint: 'use npm 10 or newer, which knows --cpu',
    })
  }
  await rename(incoming, folder)
  return join(folder, 'node_modules')
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  )
}
