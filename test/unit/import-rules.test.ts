import { execFile } from 'node:child_process'
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

import { expect, test } from 'vitest'
import { z } from 'zod'

import { agentVersion } from '../../agent/build-info.ts'
import { debianVersion } from '../../scripts/packaging/debian-version.ts'
import { tempFolder } from '../support/temp-folder.ts'

const root = join(import.meta.dirname, '..', '..')
const rulesFile = '.dependency-cruiser.cjs'

const reportSchema = z.object({
  summary: z.object({
    totalCruised: z.number(),
    violations: z.array(z.object({ from: z.string(), to: z.string(), rule: z.object({ name: z.string() }) })),
  }),
})

interface Report {
  readonly modules: number
  readonly violations: readonly string[]
}

/** Checks the imports of the `agent` folder in `folder`. Violations are told as `rule: importing file`. */
async function checkImports(folder: string): Promise<Report> {
  const cruiser = join(root, 'node_modules', '.bin', 'depcruise')
  const args = [cruiser, '--config', rulesFile, '--output-type', 'json', 'agent']
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    cwd: folder,
    maxBuffer: 64 * 1024 * 1024,
    timeout: 25_000,
  })
  const { totalCruised, violations } = reportSchema.parse(JSON.parse(stdout)).summary
  return { modules: totalCruised, violations: violations.map(({ rule, from }) => `${rule.name}: ${from}`) }
}

const rulesSchema = z.object({ forbidden: z.array(z.object({ name: z.string() })) })

function ruleNames(): readonly string[] {
  const rules: unknown = createRequire(import.meta.url)(join(root, rulesFile))
  return rulesSchema.parse(rules).forbidden.map(({ name }) => name)
}

/** For every rule, a file that breaks it. */
const violations: Readonly<Record<string, readonly [string, string]>> = {
  'no-cycles': ['agent/lib/circle-a.ts', `import './circle-b.ts'`],
  'nobody-imports-main': ['agent/commands/restart.ts', `import '../main.ts'`],
  'only-main-imports-commands': ['agent/shortcut.ts', `import './commands/run.ts'`],
  'only-commands-import-the-root': [
    'agent/status/whole.ts',
    `import type { A } from '../composition/session/session.ts'\nexport type B = A`,
  ],
  'features-do-not-know-aws': [
    'agent/cameras/direct.ts',
    `import type { A } from '../aws/adapter.ts'\nexport type B = A`,
  ],
  'features-do-not-know-each-other': [
    'agent/cameras/nosy.ts',
    `import type { A } from '../logs/port.ts'\nexport type B = A`,
  ],
  'publishing-shares-the-manifest-only': [
    'agent/publishing/nosy.ts',
    `import type { A } from '../cameras/port.ts'\nexport type B = A`,
  ],
  'the-agent-does-not-load-publishing': ['agent/eager.ts', `import './publishing/publish-release.ts'`],
  'features-see-only-the-shape-of-the-configuration': [
    'agent/cameras/loads.ts',
    `import type { A } from '../config/load-config.ts'\nexport type B = A`,
  ],
  'features-import-the-configuration-as-types': ['agent/cameras/schema.ts', `import '../config/config-schema.ts'`],
  'adapters-import-ports-as-types': ['agent/aws/runs-feature.ts', `import '../cameras/port.ts'`],
  'only-adapters-know-the-sdks': ['agent/sdk.ts', `import '@aws-sdk/client-s3'`],
  'lib-knows-no-product': ['agent/lib/product.ts', `import type { A } from '../cameras/port.ts'\nexport type B = A`],
  'lib-imports-node-only': ['agent/lib/checks.ts', `import 'zod'`],
  'only-log-imports-winston': ['agent/status/prints.ts', `import 'winston'`],
  'what-runs-as-root-stands-alone': ['agent/request-handler/rich.ts', `import '../lib/log.ts'`],
  'nobody-imports-what-runs-as-root': ['agent/status/asks.ts', `import '../request-handler/act.ts'`],
  'the-agent-does-not-import-tests': ['agent/tested.ts', `import '../test/fake.ts'`],
  'no-unresolvable': ['agent/lost.ts', `import './not-there.ts'`],
}

const port = 'export type A = number\nexport const a = 1\n'

/** What the violations import, and imports that every rule allows. */
const allowed: Readonly<Record<string, string>> = {
  'agent/main.ts': `import './commands/run.ts'`,
  'agent/commands/run.ts': `import '../agent.ts'`,
  'agent/composition/session/session.ts': port,
  'agent/agent.ts': `${port}import './aws/adapter.ts'\nimport './cameras/worker.ts'\nimport './config/load-config.ts'`,
  'agent/aws/adapter.ts': `${port}import type { A as P } from '../cameras/port.ts'\nimport '@aws-sdk/client-s3'\nexport type C = P`,
  'agent/cameras/port.ts': port,
  'agent/cameras/worker.ts': `import './port.ts'\nimport '../lib/log.ts'\nimport type { A } from '../config/config-schema.ts'\nimport 'zod'\nexport type C = A`,
  'agent/logs/port.ts': port,
  'agent/artifacts/release/release-manifest.ts': port,
  'agent/publishing/publish-release.ts': `import '../artifacts/release/release-manifest.ts'\nimport '../lib/log.ts'`,
  'agent/commands/publish.ts': `import '../publishing/publish-release.ts'`,
  'agent/commands/command-line.ts': `import type { A } from './later.ts'\nexport const b = (): Promise<unknown> => import('./publish.ts')\nexport type B = A`,
  'agent/commands/later.ts': port,
  'agent/config/config-schema.ts': `${port}import 'zod'`,
  'agent/config/load-config.ts': `${port}import './config-schema.ts'`,
  'agent/build-info.ts': port,
  'agent/request-handler/act.ts': `import 'node:fs'\nimport '../build-info.ts'`,
  'agent/lib/log.ts': `import 'node:fs'\nimport 'winston'`,
  'agent/lib/circle-b.ts': '',
  'test/fake.ts': port,
}

async function writeTree(folder: string, files: readonly (readonly [string, string])[]): Promise<void> {
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  for (const file of [rulesFile, 'tsconfig.json', 'package.json']) await cp(join(root, file), join(folder, file))
  for (const [path, content] of files) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), `${content}\n`)
  }
}

test('there is a violation to try for every import rule', () => {
  expect(Object.keys(violations).sort()).toEqual([...ruleNames()].sort())
})

test('a tree that keeps to the rules has no violations', async () => {
  await using folder = await tempFolder()
  await writeTree(folder.path, Object.entries(allowed))
  expect(await checkImports(folder.path)).toMatchObject({ violations: [] })
})

test('every import rule reports the file that breaks it', async () => {
  await using folder = await tempFolder()
  const circle = [['agent/lib/circle-b.ts', `import './circle-a.ts'`]] as const
  await writeTree(folder.path, [...Object.entries(allowed), ...circle, ...Object.values(violations)])
  const report = await checkImports(folder.path)
  const expected = Object.entries(violations).map(([rule, [file]]) => `${rule}: ${file}`)
  expect(expected.filter((violation) => !report.violations.includes(violation))).toEqual([])
})

test('the agent keeps to the rules, and is really looked at', async () => {
  const { modules, violations: found } = await checkImports(root)
  expect(found).toEqual([])
  expect(modules).toBeGreaterThan(30)
})

test('the agent tells the version of its package', async () => {
  const packageJson: unknown = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  const { version } = z.object({ version: z.string() }).parse(packageJson)
  expect(agentVersion).toBe(debianVersion(version))
})
