import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as z from 'zod'

import { parseManifest } from '../../../agent/artifacts/release/release-manifest.ts'
import { checkConfig } from '../../../agent/config/load-config.ts'
import { parseJobDocument } from '../../../agent/jobs/job-document.ts'
import { schemaWords } from '../../../agent/lib/schema-words.ts'
import config from '../../../config/example.json' with { type: 'json' }

function wordsFor(schema: z.ZodType, value: unknown): readonly string[] {
  return schema.safeParse(value, { error: schemaWords }).error?.issues.map(({ message }) => message) ?? []
}

test.each<[string, z.ZodType, unknown]>([
  ['is missing', z.string(), undefined],
  ['is missing', z.enum(['a', 'b']), undefined],
  ['must be a string, and is a number', z.string(), 5],
  ['must be a whole number, and is a number with a fraction', z.int(), 1.5],
  ['must be a number, and is a string', z.int(), '1'],
  ['must be true or false, and is null', z.boolean(), null],
  ['must be an array, and is an object', z.array(z.string()), {}],
  ['must be an object, and is an array', z.object({}), []],
  ['must be an object, and is a string', z.record(z.string(), z.unknown()), 'x'],
  ['must be "1.0"', z.literal('1.0'), '2.0'],
  ['must be one of "a", "b"', z.enum(['a', 'b']), 'c'],
  ['must be one of "file", "journal"', z.discriminatedUnion('kind', [kind('file'), kind('journal')]), { kind: 'x' }],
  ['is none of what it may be', z.union([z.string(), z.number()]), true],
  ['must not be empty', z.string().min(1), ''],
  ['must have at least 2 entries', z.array(z.string()).min(2), []],
  ['must have at most 3 characters', z.string().max(3), 'abcd'],
  ['must have at most 1 entry', z.array(z.string()).max(1), ['a', 'b']],
  ['must be at least 30', z.int().min(30), 1],
  ['must be at most 5', z.number().max(5), 6],
  ['must be more than 0', z.number().positive(), 0],
  ['must be a multiple of 5', z.number().multipleOf(5), 7],
  ['must match /^a$/', z.string().regex(/^a$/), 'b'],
  ['must begin with "a"', z.string().startsWith('a'), 'b'],
  ['must be an instant in UTC, such as 2027-01-01T00:00:00Z', z.iso.datetime(), 'now'],
  ['must be a valid ipv4', z.ipv4(), 'x'],
  ['has fields that are not known: "b"', z.strictObject({}), { b: 1 }],
  ['is no name that can be used here', z.record(z.string().max(1), z.unknown()), { ab: 1 }],
  ['own words', z.string().min(2, 'own words'), 'a'],
])('says "%s"', (words, schema, value) => {
  expect(wordsFor(schema, value)).toEqual([words])
})

function kind(name: string): z.ZodObject<{ kind: z.ZodLiteral<string> }> {
  return z.object({ kind: z.literal(name) })
}

describe("what people write is never told of in the library's own words", () => {
  const foreign = /invalid|expected|received|too (big|small)|unrecognized|zod/i
  const wrong = fc.oneof(
    fc.constantFrom<unknown>(null, true, -1, 1.5, 1e12, '', 'x'.repeat(5_000), [], {}, [null], { x: 1 }),
    fc.jsonValue(),
  )

  test('of a configuration', () => {
    const paths = pathsOf(config)
    fc.assert(
      fc.property(fc.constantFrom(...paths), wrong, (path, value) => {
        for (const { message } of checkConfig(replaced(config, path, value)).issues ?? []) {
          expect(message).not.toMatch(foreign)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('of a job document', () => {
    const operation = fc.constantFrom('configure', 'sync-artifacts', 'rollback-artifact', 'update-agent', 'reboot', 'x')
    const field = fc.constantFrom(
      'artifact',
      'artifacts',
      'patch',
      'confirmSeconds',
      'to',
      'version',
      'steps',
      'dryRun',
    )
    fc.assert(
      fc.property(operation, fc.dictionary(field, wrong), (name, fields) => {
        const parsed = parseJobDocument({ version: '1.0', operation: name, ...fields })
        for (const { message } of parsed.kind === 'rejected' ? parsed.faults : []) expect(message).not.toMatch(foreign)
      }),
      { numRuns: 300 },
    )
  })

  test('of a manifest', () => {
    const file = { path: 'a', key: 'a', size: 1, sha256: 'a'.repeat(64) }
    const manifest = {
      schema: 1,
      artifact: 'a',
      sequence: 1,
      version: '1',
      createdAt: '2027-01-01T00:00:00Z',
      files: [file],
    }
    fc.assert(
      fc.property(
        fc.constantFrom(...pathsOf(manifest).filter(([first]) => first !== 'schema')),
        wrong,
        (path, value) => {
          expect(whyRefused(replaced(manifest, path, value))).not.toMatch(foreign)
        },
      ),
      { numRuns: 300 },
    )
  })
})

function whyRefused(manifest: unknown): string {
  try {
    parseManifest(Buffer.from(JSON.stringify(manifest)))
    return ''
  } catch (error) {
    return error instanceof Error ? error.message.split(': ').slice(-1).join() : ''
  }
}

type Path = readonly (string | number)[]

/** To every value in it. */
function pathsOf(value: unknown, path: Path = []): readonly Path[] {
  if (typeof value !== 'object' || value === null) return [path]
  const inner = Array.isArray(value)
    ? value.map((each: unknown, index) => [index, each] as const)
    : Object.entries(value)
  return [...(path.length === 0 ? [] : [path]), ...inner.flatMap(([key, each]) => pathsOf(each, [...path, key]))]
}

function replaced(value: unknown, [first, ...rest]: Path, by: unknown): unknown {
  if (first === undefined) return by
  if (Array.isArray(value))
    return value.map((each: unknown, index) => (index === first ? replaced(each, rest, by) : each))
  const object = typeof value === 'object' && value !== null ? { ...value } : {}
  const inner = Object.entries(object).find(([key]) => key === first)?.[1]
  return { ...object, [first]: replaced(inner, rest, by) }
}
