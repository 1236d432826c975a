import { chmod, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import type { Verdict } from '../../../../agent/artifacts/activation/activation-state.ts'
import { AgentError } from '../../../../agent/lib/errors.ts'
import { FakeArtifactSource, silence } from '../../../support/fake-artifact-source.ts'
import { manifestFile, manifestPayload, unsigned } from '../../../support/signed-manifest.ts'
import { waitUntil } from '../../../support/wait-until.ts'
import { appFolder, installedFiles, sha256, startWorker, tempFolder, type RunningWorker } from '../artifact-fixture.ts'

const bad: Verdict = { healthy: false, why: 'hook check: failed, exit-1' }
const hookHealth = { hook: 'check', withinSeconds: 5 }

describe('a release with a hook', () => {
  it('stays when the hook says that it is healthy', async () => {
    await using bench = await hookBench()
    bench.publish('one')
    await bench.running.pass()
    expect(bench.asked).toEqual(['check'])
    expect(bench.running.status()).toMatchObject({ health: 'healthy', quarantined: [] })
    await bench.running.pass()
    expect(bench.asked).toHaveLength(1)
  })

  it('gives way to the one before when it is not, and is not tried again until the source changes', async () => {
    await using bench = await hookBench()
    bench.publish('one')
    await bench.running.pass()
    bench.verdict = bad
    bench.publish('two')
    await expect(bench.running.pass()).rejects.toThrow('is not healthy (hook check: failed, exit-1)')
    expect(await installedFiles(bench.state)).toEqual({ a: 'one' })
    expect(bench.running.status()).toMatchObject({ health: 'healthy', quarantined: [expect.any(String)] })
    await expect(bench.running.pass()).rejects.toThrow('it is not tried again')
    expect(bench.asked).toHaveLength(2)
    expect(bench.source.opened).toHaveLength(2)

    bench.verdict = { healthy: true }
    bench.publish('three')
    await bench.running.pass()
    expect(await installedFiles(bench.state)).toEqual({ a: 'three' })
  })

  it('is asked once for all its passes when the source holds the same content under another etag', async () => {
    await using bench = await hookBench()
    bench.publish('one')
    await bench.running.pass()
    bench.verdict = bad
    bench.publish('two')
    await expect(bench.running.pass()).rejects.toThrow('not healthy')
    bench.verdict = { healthy: true }
    bench.source.put('app/a', 'two', '"another"')
    await bench.running.pass()
    expect(await installedFiles(bench.state)).toEqual({ a: 'two' })
    expect(bench.running.status()).toMatchObject({ health: 'healthy', quarantined: [] })
  })

  it('stays, and is said not to be healthy, when it is the first', async () => {
    await using bench = await hookBench()
    bench.verdict = bad
    bench.publish('one')
    await expect(bench.running.pass()).rejects.toThrow('none to go back to')
    expect(await installedFiles(bench.state)).toEqual({ a: 'one' })
    expect(bench.running.status()).toMatchObject({ health: 'unhealthy' })
    expect(bench.running.worker.health().state).toBe('failing')
  })

  it('is asked again when it is the first and the source wishes it anew', async () => {
    await using bench = await hookBench()
    bench.verdict = bad
    bench.publish('one')
    await expect(bench.running.pass()).rejects.toThrow('none to go back to')
    await expect(bench.running.pass()).rejects.toThrow('none to go back to')
    expect(bench.asked).toHaveLength(1)

    bench.source.put('app/a', 'one', '"another"')
    await expect(bench.running.pass()).rejects.toThrow('none to go back to')
    expect(bench.asked).toHaveLength(2)
    bench.verdict = { healthy: true }
    bench.source.put('app/a', 'one', '"a third"')
    await bench.running.pass()
    expect(bench.asked).toHaveLength(3)
    expect(bench.running.status()).toMatchObject({ health: 'healthy', quarantined: [] })
    expect(await installedFiles(bench.state)).toEqual({ a: 'one' })
  })

  it('is asked again when it is the first and health is asked for in another way', async () => {
    await using bench = await hookBench()
    bench.verdict = bad
    bench.publish('one')
    await expect(bench.running.pass()).rejects.toThrow('none to go back to')
    await bench.running.stop()
    bench.verdict = { healthy: true }
    await using other = bench.restart({ hook: 'mended-check', withinSeconds: 5 })
    await other.pass()
    expect(bench.asked).toEqual(['check', 'mended-check'])
    expect(other.status()).toMatchObject({ health: 'healthy', quarantined: [] })
    await other.pass()
    expect(bench.asked).toHaveLength(2)
  })

  it('is not healthy when nobody can run hooks', async () => {
    await using state = await tempFolder()
    const source = new FakeArtifactSource('app/')
    source.put('app/a', 'one')
    await using running = startWorker(state, source, { health: hookHealth })
    await expect(running.pass()).rejects.toThrow('nobody is there to run hooks')
  })

  it('is asked again when asking could not be done just then', async () => {
    await using bench = await hookBench()
    let tries = 0
    bench.answer = () => {
      tries += 1
      if (tries === 1) throw new AgentError('too many requests to root', { retryable: true })
      return { healthy: true }
    }
    bench.publish('one')
    await bench.running.pass()
    expect(tries).toBe(2)
  })

  it('is asked anew after a stop in mid-answer', async () => {
    await using bench = await hookBench()
    bench.publish('one')
    await bench.running.pass()
    bench.answer = silence
    bench.publish('two')
    const pass = bench.running.pass()
    await waitUntil('the hook is asked', () => bench.running.status().health === 'asking')
    await Promise.all([bench.running.stop(), expect(pass).rejects.toThrow()])
    expect(await installedFiles(bench.state)).toEqual({ a: 'two' })

    bench.answer = () => bad
    bench.source.beforeList = () => {
      throw new AgentError('no network', { retryable: true })
    }
    await using restarted = bench.restart()
    await expect(restarted.pass()).rejects.toThrow('no network')
    expect(await installedFiles(bench.state)).toEqual({ a: 'one' })
  })

  it('is believed when the configuration asks for health no more', async () => {
    await using bench = await hookBench()
    bench.answer = silence
    bench.publish('one')
    const pass = bench.running.pass()
    await waitUntil('the hook is asked', () => bench.running.status().health === 'asking')
    await Promise.all([bench.running.stop(), expect(pass).rejects.toThrow()])
    await using restarted = startWorker(bench.state, bench.source)
    await restarted.pass()
    expect(restarted.status()).toMatchObject({ health: undefined })
  })
})

describe('a release with a file', () => {
  it('is healthy when the application touches it after the switch, and not for having touched it before', async () => {
    await using state = await tempFolder()
    const file = join(state.path, 'healthy')
    await writeFile(file, 'touched before')
    const source = new FakeArtifactSource('app/')
    source.put('app/a', 'one')
    await using running = startWorker(state, source, { health: { file, withinSeconds: 60 } })
    const pass = running.pass()
    await waitUntil('the file is waited for', () => running.status().health === 'asking')
    await expect(Promise.race([pass.then(() => 'ended'), Promise.resolve('waiting')])).resolves.toBe('waiting')
    await writeFile(file, 'touched')
    await pass
    expect(running.status()).toMatchObject({ health: 'healthy' })
  })

  it('is not healthy when nobody touches it in time', async () => {
    await using state = await tempFolder()
    const source = new FakeArtifactSource('app/')
    source.put('app/a', 'one')
    const health = { file: join(state.path, 'healthy'), withinSeconds: 0.05 }
    await using running = startWorker(state, source, { health })
    await expect(running.pass()).rejects.toThrow('said nothing within 0.05 s: it is not there (ENOENT)')
  })
})

describe('going back', () => {
  it('goes to the release before, and stays there until the source changes', async () => {
    await using bench = await hookBench({ health: undefined })
    for (const content of ['one', 'two']) {
      bench.publish(content)
      await bench.running.pass()
    }
    await bench.running.rollBack(undefined)
    expect(await installedFiles(bench.state)).toEqual({ a: 'one' })
    await bench.running.pass()
    await bench.running.stop()
    await using restarted = bench.restart()
    await restarted.pass()
    expect(restarted.status()).toMatchObject({ isHeld: true })
    expect(await installedFiles(bench.state)).toEqual({ a: 'one' })
    expect(restarted.worker.health().state).toBe('ok')
    bench.publish('three')
    await restarted.pass()
    expect(restarted.status()).toMatchObject({ isHeld: false })
    expect(await installedFiles(bench.state)).toEqual({ a: 'three' })
  })

  it('works before the first pass, without the source', async () => {
    await using bench = await hookBench({ health: undefined })
    for (const content of ['one', 'two']) {
      bench.publish(content)
      await bench.running.pass()
    }
    await bench.running.stop()
    await using restarted = bench.restart()
    await restarted.rollBack(undefined)
    expect(await installedFiles(bench.state)).toEqual({ a: 'one' })
  })

  it('is not begun any more for whoever has given up while it waited for its turn', async () => {
    await using bench = await hookBench({ health: undefined, keepReleases: 3 })
    for (const content of ['one', 'two', 'three']) {
      bench.publish(content)
      await bench.running.pass()
    }
    const end = new AbortController()
    const first = bench.running.rollBack(undefined)
    const second = bench.running.rollBack(undefined, end.signal)
    end.abort(new Error('the job was withdrawn'))
    await expect(second).rejects.toThrow('the job was withdrawn')
    await first
    expect(await installedFiles(bench.state)).toEqual({ a: 'two' })
  })

  it('takes the beginning of an id, and names what is kept where there is none', async () => {
    await using bench = await hookBench({ health: undefined, keepReleases: 3 })
    const ids: string[] = []
    for (const content of ['one', 'two', 'three', 'four']) {
      bench.publish(content)
      await bench.running.pass()
      ids.push(String(bench.running.status().releaseId))
    }
    expect(bench.running.releases().map(({ releaseId }) => releaseId)).toEqual(ids.slice(1).reverse())
    await expect(bench.running.rollBack('ffff-not-there')).rejects.toThrow('is not kept')
    await bench.running.rollBack(String(ids[1]).slice(0, 12))
    expect(await installedFiles(bench.state)).toEqual({ a: 'two' })
    await expect(bench.running.rollBack(undefined)).rejects.toMatchObject({ hint: `kept are: ${ids[3]}, ${ids[2]}` })
  })

  it('goes back at once while health is asked for, and does not hear the answer', async () => {
    await using bench = await hookBench({ health: { hook: 'check', withinSeconds: 600 } })
    bench.publish('one')
    await bench.running.pass()
    bench.answer = silence
    bench.publish('two')
    const pass = bench.running.pass()
    await waitUntil('the hook is asked', () => bench.running.status().health === 'asking')
    await bench.running.rollBack(undefined)
    await pass
    expect(await installedFiles(bench.state)).toEqual({ a: 'one' })
    expect(bench.running.status()).toMatchObject({ isHeld: true, quarantined: [] })
  })

  it('goes back at once while the next release is fetched, which is not installed then', async () => {
    await using bench = await hookBench({ health: undefined })
    for (const content of ['one', 'two']) {
      bench.publish(content)
      await bench.running.pass()
    }
    bench.publish('three')
    const gate = Promise.withResolvers<undefined>()
    bench.source.beforeChunk = async () => {
      await gate.promise
    }
    const pass = bench.running.pass()
    await waitUntil('it is fetched', () => bench.running.status().phase === 'downloading')
    await bench.running.rollBack(undefined)
    expect(await installedFiles(bench.state)).toEqual({ a: 'one' })
    gate.resolve(undefined)
    await pass
    expect(await installedFiles(bench.state)).toEqual({ a: 'one' })
  })
})

it('stays where an operator went when the source had wished for something in between', async () => {
  await using bench = await hookBench({ health: undefined })
  for (const content of ['one', 'two']) {
    bench.publish(content)
    await bench.running.pass()
  }
  bench.source.beforeOpen = () => {
    throw new AgentError('denied')
  }
  bench.publish('three')
  await expect(bench.running.pass()).rejects.toThrow('denied')
  bench.publish('two')
  await bench.running.pass()
  await bench.running.rollBack(undefined)
  await bench.running.pass()
  expect(await installedFiles(bench.state)).toEqual({ a: 'one' })
})

it('costs one conditional question when it is held away from a manifest that was never installed', async () => {
  await using bench = await hookBench({ health: undefined })
  const publish = (sequence: number, content: string): void => {
    const payload = manifestPayload({ sequence, files: [manifestFile('a', content)] })
    bench.source.put('app/release.jws', unsigned(payload))
    bench.source.put(`app/objects/${sha256(content)}`, content)
  }
  publish(1, 'one')
  await bench.running.pass()
  publish(2, 'two')
  await bench.running.pass()
  bench.source.beforeOpen = () => {
    throw new AgentError('denied')
  }
  publish(3, 'three')
  await expect(bench.running.pass()).rejects.toThrow('denied')
  await bench.running.rollBack(undefined)
  await bench.running.pass()
  const readSmall = bench.source.readSmall.bind(bench.source)
  const answers: unknown[] = []
  bench.source.readSmall = async (...args) => {
    const answer = await readSmall(...args)
    answers.push(answer)
    return answer
  }
  await bench.running.pass()
  expect(answers).toEqual(['unchanged'])
  expect(await installedFiles(bench.state)).toEqual({ a: 'one' })
})

it('goes on without a kept release that somebody removed', async () => {
  await using bench = await hookBench({ health: undefined })
  for (const content of ['one', 'two']) {
    bench.publish(content)
    await bench.running.pass()
  }
  const [, previous] = bench.running.releases()
  const { releaseId = '' } = previous ?? {}
  await rm(join(appFolder(bench.state), 'releases', releaseId), { recursive: true })
  await bench.running.rollBack(undefined).catch(() => undefined)
  bench.publish('three')
  await bench.running.pass()
  expect(await installedFiles(bench.state)).toEqual({ a: 'three' })
})

describe('what is kept', () => {
  it('is no release that was found damaged, once another one is there', async () => {
    await using bench = await hookBench({ health: undefined })
    bench.publish('one')
    await bench.running.pass()
    const path = join(appFolder(bench.state), 'current/a')
    await chmod(path, 0o600)
    await writeFile(path, 'bad')
    bench.publish('two')
    expect(await bench.running.verify(new AbortController().signal)).toMatchObject({ damaged: ['a'] })
    await bench.running.pass()
    expect(await installedFiles(bench.state)).toEqual({ a: 'two' })
    await expect(bench.running.rollBack(undefined)).rejects.toThrow('no release before the current one')
    bench.publish('one')
    await bench.running.pass()
    expect(await installedFiles(bench.state)).toEqual({ a: 'one' })
  })

  it('is said to be damaged when it was gone back to while the other one was verified', async () => {
    await using bench = await hookBench({ health: undefined })
    for (const content of ['one', 'two']) {
      bench.source.put('app/shared', 'same')
      bench.publish(content)
      await bench.running.pass()
    }
    const path = join(appFolder(bench.state), 'current/shared')
    await chmod(path, 0o600)
    await writeFile(path, 'bad!')
    const rolledBack = bench.running.rollBack(undefined)
    expect(await bench.running.verify(new AbortController().signal)).toMatchObject({ damaged: ['shared'] })
    await rolledBack
    await expect(bench.running.pass()).rejects.toThrow('the installed release is damaged')
  })

  it('is the current release alone when told so, and the one before only until it is healthy', async () => {
    await using bench = await hookBench({ keepReleases: 1 })
    bench.publish('one')
    await bench.running.pass()
    bench.verdict = bad
    bench.publish('two')
    await expect(bench.running.pass()).rejects.toThrow('not healthy')
    expect(await installedFiles(bench.state)).toEqual({ a: 'one' })
    bench.verdict = { healthy: true }
    bench.publish('three')
    await bench.running.pass()
    const releaseId = String(bench.running.status().releaseId)
    expect((await readdir(join(appFolder(bench.state), 'releases'))).sort()).toEqual([releaseId, `${releaseId}.json`])
  })
})

it('begins anew with a warning when what it remembered cannot be read', async () => {
  await using bench = await hookBench()
  bench.publish('one')
  await bench.running.pass()
  await bench.running.stop()
  await writeFile(join(appFolder(bench.state), 'activation.json'), '{')
  await using restarted = bench.restart()
  await restarted.pass()
  expect(await installedFiles(bench.state)).toEqual({ a: 'one' })
  expect(restarted.lines.map(({ level }) => level)).toEqual(['warn'])
})

interface HookBench extends AsyncDisposable {
  readonly state: { readonly path: string } & AsyncDisposable
  readonly source: FakeArtifactSource
  readonly running: RunningWorker
  /** Names of the hooks that were asked. */
  readonly asked: readonly string[]
  verdict: Verdict
  answer: (signal: AbortSignal) => Verdict | Promise<Verdict>
  readonly publish: (content: string) => void
  /** Another worker on the same folder, as after a restart. */
  readonly restart: (health?: Options['health']) => RunningWorker
}

type Options = NonNullable<Parameters<typeof startWorker>[2]>

async function hookBench(options: { [K in keyof Options]: Options[K] | undefined } = {}): Promise<HookBench> {
  const state = await tempFolder()
  const source = new FakeArtifactSource('app/')
  const asked: string[] = []
  const { health: first = 'health' in options ? undefined : hookHealth, keepReleases = 2 } = options
  const start = (health = first): RunningWorker =>
    startWorker(state, source, {
      keepReleases,
      ...(health === undefined ? {} : { health }),
      runHook: async (name, signal) => {
        asked.push(name)
        return await bench.answer(signal)
      },
    })
  const bench: HookBench = {
    state,
    source,
    running: start(),
    asked,
    verdict: { healthy: true },
    answer: () => bench.verdict,
    publish: (content) => {
      source.put('app/a', content)
    },
    restart: start,
    [Symbol.asyncDispose]: async () => {
      await bench.running.stop()
      await state[Symbol.asyncDispose]()
    },
  }
  return bench
}
