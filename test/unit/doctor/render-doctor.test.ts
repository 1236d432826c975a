import { expect, test } from 'vitest'

import type { Finding } from '../../../agent/doctor/doctor-check.ts'
import { doctorReport } from '../../../agent/doctor/doctor-report.ts'
import { renderDoctor } from '../../../agent/doctor/render-doctor.ts'

const head = { at: '2027-01-01T00:00:00.000Z', agent: '1.2.3', user: 'root' }
const findings: readonly Finding[] = [
  { id: 'a', level: 'fail', name: 'TLS mqtt', text: 'no connection', hint: 'check the firewall' },
  { id: 'b', level: 'pass', name: 'disk', text: 'enough is free' },
  { id: 'c', level: 'warn', name: 'clock', text: 'it is slow', hint: 'set it' },
  { id: 'd', level: 'skip', name: 'journal', text: 'not configured' },
]

test('aligns the lines, and has what failed at the end, above the counts', () => {
  expect(renderDoctor(doctorReport(head, findings))).toBe(
    [
      'panorama-agent 1.2.3, as root, 2027-01-01T00:00:00.000Z',
      '',
      'pass  disk      enough is free',
      '',
      'skip  journal   not configured',
      '',
      'WARN  clock     it is slow',
      '                -> set it',
      '',
      'FAIL  TLS mqtt  no connection',
      '                -> check the firewall',
      '',
      '1 failed, 1 warning, 1 passed, 1 skipped',
      '',
    ].join('\n'),
  )
})

test('breaks lines at words, within the width of the terminal and under each other', () => {
  const text = Array.from({ length: 30 }, (_, index) => `word${index}`).join(' ')
  const report = doctorReport(head, [{ id: 'a', level: 'fail', name: 'disk', text, hint: text }])
  const lines = renderDoctor(report, { columns: 80 }).split('\n').slice(2, -3)
  expect(lines.length).toBeGreaterThan(4)
  for (const line of lines) expect(line.length).toBeLessThan(80)
  for (const line of lines.slice(1)) expect(line).toMatch(/^ {12}\S/)
  expect(lines.join(' ').match(/word\d+/g)).toHaveLength(60)
})

test('paints the level and the counts alone', () => {
  const painted = renderDoctor(doctorReport(head, findings), { paint: (color, text) => `<${color}:${text}>` })
  expect(painted).toContain('<red:FAIL>  TLS mqtt  no connection')
  expect(painted).toContain('<green:pass>  disk')
  expect(painted).toContain('<red:1 failed, 1 warning, 1 passed, 1 skipped>')
})
