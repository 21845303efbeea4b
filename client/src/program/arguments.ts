import { InvalidArgumentError, Option } from 'commander';

/** What several commands judge alike. */

export const wholeNumber = (least: number, most: number) => (text: string) => {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
};

export const port = wholeNumber(0, 65_535);
export const copies = wholeNumber(1, 16);

export const directory = (text: string) => {
  if (text.trim() !== '') return text;
  throw new InvalidArgumentError('It is empty: name a directory, or leave it out.');
};

export const json = () => new Option('--json', 'print JSON for programs, failures too');
