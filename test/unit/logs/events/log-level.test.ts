import fc from 'fast-check'
import { expect, test } from 'vitest'

import { detectLevel } from '../../../../agent/logs/events/log-level.ts'

test.for([
  ['2022-08-26 17:43:39 INFO     INITIALIZING APPLICATION', 'info'],
  ['2023-02-14 11:53:09.240 WARN loadApplicationGraph(338) ERROR in text', 'warn'],
  ['2023-02-14 11:53:09,240 - app - CRITICAL - text', 'error'],
  ['[2023-02-14T11:53:09Z] [debug] text', 'debug'],
  ['{"time":"2023-02-14T11:53:09Z","level":"warning","msg":"x"}', 'warn'],
  ['{"level":30,"time":1676375589240,"msg":"ERROR"}', 'info'],
  ['{"level":60,"msg":"x"}', 'error'],
  ['time=2023-02-14T11:53:09Z level=error msg=x', 'error'],
  ['TRACE text', 'debug'],
  ['NOTICE: text', 'info'],
  ['<warn> text', 'warn'],
  ['warn: text', 'warn'],
  ['[W] text', 'warn'],
  ['W0214 11:53:09.240123 1234 file.cc:12] text', 'warn'],
  ['E/Camera: text', 'error'],
  ['text without a level', undefined],
  ['no error was found, and no warning', undefined],
  ['INFORMATION about ERRORS and a WARN_COUNT', undefined],
  ['x'.repeat(80).concat(' ERROR'), undefined],
  ['', undefined],
] as const)('%s', ([message, expected]) => {
  expect(detectLevel(message)).toBe(expected)
})

test('crashes on no message', () => {
  fc.assert(
    fc.property(fc.string(), (message) => {
      expect([undefined, 'debug', 'info', 'warn', 'error']).toContain(detectLevel(message))
    }),
  )
})
