import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'

import { describe, expect, it } from 'vitest'

import { createProgram } from '../../../agent/commands/command-line.ts'
import { outlineCommands } from '../../../scripts/packaging/completion.ts'

const root = join(import.meta.dirname, '..', '..', '..')
const page = readFileSync(join(root, 'packaging', 'panorama-agent.8'), 'utf8')
const outlines = outlineCommands(
  createProgram({
    signal: AbortSignal.abort(),
    stdout: new PassThrough(),
    stderr: new PassThrough(),
    service: {},
    onHangup: () => undefined,
  }),
)
const commands = outlines.filter(({ path, commands }) => path !== '' && commands.length === 0)

/** The lines of one section, without its heading. */
function section(name: string): readonly string[] {
  const [, after] = page.split(`.Sh ${name}\n`)
  return after?.split(/^\.Sh /m)[0]?.split('\n') ?? []
}

/** `\\-` is the character that one types; `-` alone may come out as another. */
function macroOf(long: string): string {
  return `Fl ${long.slice(1).replaceAll('-', '\\-')}`
}

describe('the man page', () => {
  it.each(commands)('describes the command $path and shows its options', ({ path, options }) => {
    expect(section('COMMANDS').some((line) => line === `.It Cm ${path}` || line.startsWith(`.It Cm ${path} Op `))).toBe(
      true,
    )
    const synopsis = section('SYNOPSIS')
    const start = synopsis.indexOf(`.Cm ${path}`)
    const end = synopsis.indexOf('.Nm', start)
    expect(start).toBeGreaterThan(0)
    const shown = synopsis.slice(start, end).join('\n')
    for (const { long } of options) if (long !== '--help') expect(shown).toContain(macroOf(long))
  })

  it.each([...new Set(outlines.flatMap(({ options }) => options.map(({ long }) => long)))])(
    'describes the option %s',
    (long) => {
      expect(
        section('OPTIONS')
          .filter((line) => line.startsWith('.It Fl'))
          .join('\n'),
      ).toContain(macroOf(long))
    },
  )

  it('names no command that is not there', () => {
    const described = section('COMMANDS').flatMap((line) => /^\.It Cm (.+?)(?: Op .*)?$/.exec(line)?.[1] ?? [])
    expect(described.sort()).toEqual([...commands.map(({ path }) => path), 'help'].sort())
  })

  it('describes every request to root', () => {
    const source = readFileSync(join(root, 'agent', 'request-handler', 'parse-request.ts'), 'utf8')
    const [, list = ''] = /const verbs: readonly Verb\[\] = \[(.*)\]/.exec(source) ?? []
    const verbs = [...list.matchAll(/'([^']+)'/g)].map(([, verb]) => verb)
    expect(verbs.length).toBeGreaterThan(0)
    expect(section('REQUESTS TO ROOT').flatMap((line) => /^\.It Cm (.+)$/.exec(line)?.[1] ?? [])).toEqual(verbs)
  })

  it('names every exit code', () => {
    const [, codes = ''] = /const exitCodes = \{(.*)\}/.exec(readFileSync(join(root, 'agent', 'main.ts'), 'utf8')) ?? []
    const numbers = [...codes.matchAll(/\d+/g)].map(([number]) => number)
    expect(numbers.length).toBeGreaterThan(0)
    expect(section('EXIT STATUS').flatMap((line) => /^\.It (\d+)$/.exec(line)?.[1] ?? [])).toEqual(numbers)
  })
})
