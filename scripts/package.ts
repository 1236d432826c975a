import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { z } from 'zod'

import { agentVersion } from '../agent/build-info.ts'
import { AgentError, reportError } from '../agent/lib/errors.ts'
import { buildPackage } from './packaging/build-package.ts'
import { debianVersion } from './packaging/debian-version.ts'
import { findPlatform } from './packaging/platform.ts'
import { parseCommandLine } from './parse-command-line.ts'

const usage = `Usage: scripts/package --platform amd64|arm64 [--fast] [--output FOLDER]

Builds the Debian package of one platform, on a machine of either, and prints its path as the last line.

  --fast           compress quickly: for tests, not for release
  --output FOLDER  default dist/packages
`

const root = join(import.meta.dirname, '..')
const { values } = parseCommandLine(usage, {
  options: {
    platform: { type: 'string' },
    fast: { type: 'boolean', default: false },
    output: { type: 'string', default: join(root, 'dist', 'packages') },
    help: { type: 'boolean', default: false },
  },
})
const platform = findPlatform(values.platform ?? '')

if (values.help) {
  process.stdout.write(usage)
} else if (platform === undefined) {
  process.stderr.write(usage)
  process.exitCode = 64
} else {
  try {
    const { fast: isFast, output: outputFolder } = values
    const sourceDate = process.env['SOURCE_DATE_EPOCH']
    const { path, sizes } = await buildPackage({
      root,
      platform,
      version: await packageVersion(),
      isFast,
      outputFolder,
      sourceDate,
    })
    process.stdout.write(sizes)
    console.log(`${((await stat(path)).size / 1_000_000).toFixed(1)} MB`)
    console.log(path)
  } catch (error) {
    const { message, hint } = reportError(error)
    process.stderr.write(`package: ${message}\n${hint === undefined ? '' : `hint: ${hint}\n`}`)
    process.exitCode = 1
  }
}

/** An agent that has another version than its package would never confirm an update to it. */
async function packageVersion(): Promise<string> {
  const { version } = z
    .object({ version: z.string() })
    .parse(JSON.parse(await readFile(join(root, 'package.json'), 'utf8')))
  const wanted = debianVersion(version)
  if (wanted === agentVersion) return wanted
  throw new AgentError(`package.json has version ${version}, and the agent ${agentVersion}`, {
    hint: `agentVersion in agent/build-info.ts has to be ${wanted}`,
  })
}
