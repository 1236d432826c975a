import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

import { appFolder, filesBelow, installedFiles, tempFolder, type TempFolder } from './artifact-fixture.ts'

/** As in the child: what was in flight when it was killed is fetched again, and nothing else. */
const concurrency = 3
const rounds = 6
const script = fileURLToPath(import.meta.resolve('./artifact-crash-child.ts'))

it('has a whole release, old or new, whenever the process is killed, and the next pass cleans up', async () => {
  await using state = await tempFolder()
  await mkdir(dirname(appFolder(state)), { recursive: true })
  await runPass(state, 'older')
  const { spanMs } = await runPass(state, 'old')
  let installed = await releaseNamed(state)
  expect(installed).toBe('old')
  const outcomes: string[] = []
  for (let round = 0; round < rounds; round += 1) {
    const next = `release-${round}`
    const { opened } = await runPass(state, next, (1.5 * spanMs * (round + Math.random())) / rounds)
    const found = await releaseNamed(state)
    expect([installed, next]).toContain(found)
    outcomes.push(found === next ? 'new' : 'old')
    const { opened: openedAgain } = await runPass(state, next)
    expect(opened.length + openedAgain.length).toBeLessThanOrEqual(20 + concurrency)
    expect(await releaseNamed(state)).toBe(next)
    expect(await strayFiles(state)).toEqual([])
    installed = next
  }
  console.info(
    `killed at random within 1.5 times ${Math.round(spanMs)} ms, the length of a pass; installed then: ${outcomes.join(' ')}`,
  )
})

interface Run {
  /** The keys of the objects that the pass opened. */
  readonly opened: readonly string[]
  /** From the first object opened to the end of the process. */
  readonly spanMs: number
}

/** Runs one pass in a process of its own, and kills it some time after it opened its first object, if told. */
async function runPass(state: TempFolder, seed: string, killAfterMs?: number): Promise<Run> {
  const child = spawn(process.execPath, [script, '--folder', appFolder(state), '--seed', seed], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  let openedMs = performance.now()
  child.stdout.once('data', () => {
    openedMs = performance.now()
    if (killAfterMs !== undefined) setTimeout(() => child.kill('SIGKILL'), killAfterMs)
  })
  const output = await text(child.stdout)
  const [code] = (await exited) as [number | null]
  if (killAfterMs === undefined) expect(code).toBe(0)
  return { opened: output.split('\n').filter((key) => key !== ''), spanMs: performance.now() - openedMs }
}

/** The seed of the installed release, once every file of it was found whole. */
async function releaseNamed(state: TempFolder): Promise<string> {
  const files = Object.entries((await installedFiles(state)) ?? {})
  expect(files).toHaveLength(20)
  const seeds = files.map(([path, content]) => {
    const seed = content.slice(0, content.indexOf(' '))
    expect(content).toBe(`${seed} ${path.slice(path.indexOf('/') + 1)}`.repeat(1500))
    return seed
  })
  expect(new Set(seeds).size).toBe(1)
  return seeds[0] ?? ''
}

async function strayFiles(state: TempFolder): Promise<readonly string[]> {
  const folder = appFolder(state)
  const stored = await filesBelow(join(folder, 'store'))
  const releases = await readdir(join(folder, 'releases'))
  const strays = [...(await filesBelow(join(folder, 'incoming')))]
  if (stored.length > 40) strays.push(`${stored.length} stored files`)
  if (releases.length !== 4) strays.push(`releases: ${releases.join(' ')}`)
  for (const name of await readdir(folder)) if (name.endsWith('.tmp')) strays.push(name)
  return strays
}
